"""Records, histories, predictions and heartbeats of a results folder: shown, or named in one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.execution import cluster_jobs, heartbeat, status
from benchmarks.training.networks.trained_run import find_run, load_trained
from reports.evidence import Evidence
from reports.render import markdown
from reports.run_files import RunFiles
from reports.tables.table_registry import build_tables
from results.record import Record
from results.store import HISTORY, PREDICTIONS, WEIGHTS, ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained
from tests.helpers.fuzzing import NASTY, Fuzz, damaged, damaged_text, damaged_values


@pytest.fixture
def filled(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path / "results")
    fill(store, [trained("plain", 0), trained("plain", 1), trained("sef", 0), trained("sef", 1)], images=20)
    fill(store, [profiled("plain"), profiled("sef")])
    return store


def tables(store: ResultStore) -> None:
    """What a report computes of all records, and prints."""
    records = ResultStore(store.root).records()
    files = RunFiles(store, records)
    built = build_tables(Evidence(records, files.predictions))
    for table in built.values():
        markdown.markdown(table)
        markdown.terminal(table)
        markdown.csv(table)
    for record in records:
        files.history(record.id)


def forged(values: Any) -> bytes:
    """A record without checksums, as older ones are, whose hash fits its settings as far as they are any."""
    if isinstance(values, dict):
        values.pop("checksums", None)
        with contextlib.suppress(ValueError):
            values["hash"] = Record.model_validate(values).run.hash
    return json.dumps(values).encode()


def damage(content: bytes, draw: Any) -> bytes:
    match draw.randrange(4):
        case 0:
            return damaged(content, draw)
        case 1:
            return damaged_text(content.decode(), draw).encode("utf-8", "surrogatepass")
        case 2:
            return json.dumps(damaged_values(json.loads(content), draw)).encode()
        case _:
            return forged(damaged_values(json.loads(content), draw))


def test_a_record_is_read_or_refused(fuzz: Fuzz, filled: ResultStore) -> None:
    files = sorted(filled.root.glob("*/record.json"))
    for draw in fuzz.draws("record", 150):
        file = draw.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damage(whole, draw))
        read = fuzz.attempt(lambda file=file: filled.read(file.parent.name))
        if read is not None and read != Record.model_validate_json(whole):
            fuzz.altered()
        rows = status.short_rows(status.rows(filled))
        assert len(rows) == len(files)
        status.summary(status.rows(filled))
        file.write_bytes(whole)


def test_a_report_shows_or_names_a_damaged_record(fuzz: Fuzz, filled: ResultStore) -> None:
    files = sorted(filled.root.glob("*/record.json"))
    for draw in fuzz.draws("record in a report", 12):
        file = draw.choice(files)
        whole = file.read_bytes()
        file.write_bytes(forged(damaged_values(json.loads(whole), draw)))
        fuzz.attempt(lambda: tables(filled))
        file.write_bytes(whole)


@pytest.mark.parametrize("vouched", [True, False], ids=["with checksums", "of an older record"])
@pytest.mark.parametrize("name", [HISTORY, PREDICTIONS])
def test_a_file_of_a_run_is_read_or_refused(name: str, vouched: bool, fuzz: Fuzz, filled: ResultStore) -> None:
    file = sorted(filled.root.glob(f"*/{name}"))[0]
    record = file.with_name("record.json")
    if not vouched:
        older = {key: value for key, value in json.loads(record.read_bytes()).items() if key != "checksums"}
        record.write_text(json.dumps(older), encoding="utf-8")
    whole = file.read_bytes()
    read = {HISTORY: filled.history, PREDICTIONS: filled.predictions}[name]
    true = read(file.parent.name)
    kind = name if vouched else f"{name} of an older record"
    for draw in fuzz.draws(kind, 150):
        text = name == HISTORY and draw.randrange(2)
        content = damaged_text(whole.decode(), draw).encode("utf-8", "surrogatepass") if text else damaged(whole, draw)
        file.write_bytes(content)
        found = fuzz.attempt(lambda: read(file.parent.name))
        if found is not None and not found.equals(true):
            assert not vouched, fuzz.where
            fuzz.altered()
    for draw in fuzz.draws(f"{kind}, in a report", 12):
        file.write_bytes(damaged(whole, draw))
        fuzz.attempt(lambda: tables(filled))


def test_a_heartbeat_is_shown_or_left_out(fuzz: Fuzz, filled: ResultStore) -> None:
    folder = sorted(filled.root.glob("*/record.json"))[0].parent
    beat = {
        "run": "x",
        "label": "x",
        "host": "here",
        "pid": 1,
        "job": "7",
        "started": "2026-01-02T03:04:05Z",
        "updated": "2026-01-02T03:04:06Z",
        "epoch": 1,
        "epochs": 3,
        "loss": 0.5,
        "work": 10.0,
        "done": 5.0,
        "done_here": 2.0,
        "memory": 5,
    }
    odd = (-1, 0, 2**31, 2**70, "9999-12-31T23:59:59", "2026-01-02T03:04:05", "0001-01-01T00:00:00Z", 1e308, -5.0)
    for draw in fuzz.draws("heartbeat", 150):
        values = beat | {draw.choice(list(beat)): draw.choice(odd)}
        (folder / heartbeat.FILE).write_text(json.dumps(damaged_values(values, draw) if draw.randrange(2) else values))
        rows = fuzz.attempt(lambda: status.rows(filled))
        assert rows is not None
        status.summary(rows)
        status.short_rows(rows)
        json.dumps(rows)


def test_a_submitted_job_is_shown_or_left_out(fuzz: Fuzz, filled: ResultStore) -> None:
    (filled.root / cluster_jobs.FOLDER).mkdir()
    file = filled.root / cluster_jobs.FOLDER / "7.json"
    job = {"job": "7", "cluster": "local", "runs": ["x", "y"]}
    for draw in fuzz.draws("submitted job", 100):
        file.write_text(json.dumps(damaged_values(job, draw)), encoding="utf-8")
        rows = fuzz.attempt(lambda: status.rows(filled))
        assert rows is not None
        status.short_rows(rows)


def test_a_hostile_results_folder_predicts_or_refuses(fuzz: Fuzz, filled: ResultStore) -> None:
    file = sorted(filled.root.glob("*plain-paper*/record.json"))[0]
    content = json.loads(file.read_bytes())
    content["run"] |= {"backbone": "test_resnet", "dataset": "synthetic"}
    content["split"]["class_names"] = ["a", "b"]
    for draw in fuzz.draws("trained Run", 60):
        (file.parent / WEIGHTS).write_bytes(draw.choice((b"", b"x", draw.randbytes(200))))
        changed = damaged_values(content["run"], draw) if draw.randrange(2) else dict(content["run"])
        if draw.randrange(3) == 0:
            changed |= {draw.choice(("method", "variant", "backbone", "job")): str(draw.choice(NASTY))}
        file.write_bytes(forged(content | {"run": changed}))
        run_id = file.parent.name

        def use(run_id: str = run_id) -> None:
            find_run(filled, run_id, "train")
            load_trained(filled, run_id, torch.device("cpu"))

        fuzz.attempt(use)
