"""The project's own numbers: what they are, what is missing of them, and in which order it is done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution.worker import blank
from benchmarks.planning import suite
from benchmarks.planning.overrides import NO_CHANGES, Changes
from benchmarks.planning.reference.experiments import ANY_GPU, Experiment, experiments
from benchmarks.planning.reference.missing import (
    in_order,
    missing,
    missing_here,
    planned_rows,
    publish_all,
    unanswered,
)
from benchmarks.planning.suite import Suite
from results import settings
from results.publish import publish
from results.settings import ProfileRun, Run
from results.store import ResultStore
from tests.helpers.small_training import IMAGES, RECIPE, RESNET, small_run

CPU = torch.device("cpu")
UNKNOWN = ("images_sha256", "classes_sha256", "split_sha256", "weights_sha256")
"""Settings that are known only where data and weights are."""


def small_numbers(monkeypatch: pytest.MonkeyPatch, **entry: object) -> None:
    """In place of the project's suites, one on drawn images; no published rows."""
    trained = {
        "methods": ["plain", "sef"],
        "datasets": [{"name": "synthetic", "options": IMAGES}],
        "backbones": [RESNET],
        "seeds": 2,
        "set": {"recipe": RECIPE},
    }
    one = Suite.model_validate({"about": "for tests", "numbers": 1, "train": [trained | entry]})
    monkeypatch.setattr(suite, "available", lambda: ["small"])
    monkeypatch.setattr(suite, "load", lambda name: one)
    monkeypatch.setattr("benchmarks.planning.reference.experiments._of_paper", lambda *_: [])


def finish(run: Run | ProfileRun, store: ResultStore) -> None:
    store.write(blank(run, CPU))


def test_the_first_seed_of_every_experiment_comes_before_any_second(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch)
    rows = experiments(Environment(), NO_CHANGES)
    runs = in_order([run for row in rows for run in row.runs])
    assert [(run.method, run.seed) for run in runs] == [("plain", 0), ("sef", 0), ("plain", 1), ("sef", 1)]


def test_what_is_done_is_not_missing_and_committed_results_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_numbers(monkeypatch)
    store = ResultStore(tmp_path)
    rows = experiments(Environment(), NO_CHANGES)
    plain, sef = rows
    for run in plain.runs:
        finish(run, store)
    finish(sef.runs[0], store)
    publish(store, sef.runs[0].id)
    (tmp_path / sef.runs[0].id / "record.json").unlink()
    (left,) = missing(rows, store.records())
    assert (left.names["method"], left.seeds) == ("sef", [1])


def test_a_failed_run_is_still_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_numbers(monkeypatch)
    rows, store = experiments(Environment(), NO_CHANGES), ResultStore(tmp_path)
    record = blank(rows[0].runs[0], CPU)
    record.status, record.error = "failed", "out of luck"
    store.write(record)
    assert missing(rows, store.records())[0].seeds == [0, 1]


def test_a_run_of_other_rules_is_missing_though_its_settings_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch)
    rows = experiments(Environment(), NO_CHANGES)
    records = [blank(run, CPU) for run in rows[0].runs]
    assert [row.seeds for row in missing(rows[:1], records)] == []
    monkeypatch.setattr(settings, "RULES", settings.RULES + 1)
    assert [row.seeds for row in missing(rows[:1], records)] == [[0, 1]]


def test_a_run_is_not_missing_if_its_record_predates_the_check_of_its_data(tmp_path: Path) -> None:
    old = small_run()
    today = old.model_copy(update={"images_sha256": "a" * 64, "classes_sha256": "b" * 64})
    store = ResultStore(tmp_path)
    finish(old, store)
    assert unanswered([today], store.records()) == []
    row = Experiment("mine", {}, (today,), gpu=False)
    assert missing([row], store.records()) == []
    (published, _), _ = publish_all([row], store)
    assert published.name == old.id
    others = today.model_copy(update={"images_sha256": "c" * 64})
    finish(today, store)
    (store.root / old.id / "record.json").unlink()
    assert unanswered([today, others], store.own()) == [others]


def profiled(hardware: str, repeats: Iterable[int]) -> list[Run | ProfileRun]:
    one = {
        "method": "plain",
        "variant": "paper",
        "backbone": "test_resnet",
        "classes": 20,
        "image_size": 64,
        "batch_size": 4,
    }
    return [ProfileRun.model_validate(one | {"device": "cpu", "hardware": hardware, "repeat": n}) for n in repeats]


@pytest.mark.parametrize(
    ("others", "ours", "lacking", "to_do"),
    [
        ((0, 1, 2), (), [], []),
        ((0,), (), [1, 2], [0, 1, 2]),
        ((0,), (0,), [1, 2], [1, 2]),
        ((0,), (1, 2), [0], [0]),
        ((0, 1), (2,), [2], [0, 1]),
        ((0, 1), (0, 1, 2), [], []),
        ((), (), [0, 1, 2], [0, 1, 2]),
    ],
    ids=str,
)
def test_repeats_of_a_profile_count_together_on_one_machine(
    others: tuple[int, ...], ours: tuple[int, ...], lacking: list[int], to_do: list[int]
) -> None:
    """What is missing is the same on every machine; a machine that has none of another's repeats measures all."""
    row = Experiment("mine", {}, tuple(profiled("ours", range(3))), gpu=False)
    records = [blank(run, CPU) for run in (*profiled("another", others), *profiled("ours", ours))]
    assert [one.seeds for one in missing([row], records)] == [lacking] * bool(lacking)
    assert [one.seeds for one in missing_here([row], records)] == [to_do] * bool(to_do)
    assert [run.replicate for run in unanswered(row.runs, records)] == to_do


def test_a_run_that_awaits_its_data_and_weights_is_compared_by_its_other_settings() -> None:
    hashes = {name: letter * 64 for name, letter in zip(UNKNOWN, "abcd", strict=True)}
    finished = small_run().model_copy(update=hashes | {"dataset": "cub100", "pretrained": "weights.safetensors"})
    unknown = {"images_sha256": None, "classes_sha256": None, "split_sha256": "e" * 64, "weights_sha256": ""}
    awaiting = finished.model_copy(update=unknown)
    others = [awaiting.model_copy(update=one) for one in ({"seed": 5}, {"pretrained": "others"}, {"precision": "bf16"})]
    here = [finished.model_copy(update={name: "f" * 64}) for name in UNKNOWN]
    records = [blank(finished, CPU)]
    assert unanswered([awaiting, *others, *here], records) == [*others, *here]
    weights_alone = finished.model_copy(update={"weights_sha256": ""})
    assert unanswered([weights_alone], records) == []
    failed = blank(finished, CPU)
    failed.status, failed.error = "failed", "out of luck"
    assert unanswered([awaiting], [failed]) == [awaiting]


def test_what_needs_a_gpu_is_planned_on_a_cpu_but_not_done_there(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch, gpu=True)
    rows = experiments(Environment(), NO_CHANGES)
    assert [row.needs("cpu") for row in rows] == ["a GPU", "a GPU"]
    assert [row.needs("cuda") for row in rows] == [None, None]
    assert [row["why"] for row in planned_rows(rows)] == ["needs a GPU", "needs a GPU"]


def test_data_that_are_not_here_are_named_without_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_numbers(monkeypatch, datasets=["cub_200_2011"], backbones=["resnet50"])
    rows = experiments(Environment(tmp_path, tmp_path), NO_CHANGES)
    assert [row.lacking for row in rows] == ["cub_200_2011, weights of resnet50"]
    assert str(tmp_path) not in json.dumps(planned_rows(rows))
    assert missing(rows, []) == rows


def test_own_images_that_a_suite_reads_are_on_the_shopping_list_where_they_are_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_numbers(monkeypatch, datasets=["my_birds"])
    (row,) = experiments(Environment(tmp_path), NO_CHANGES)
    assert [(item.name, item.fetchable) for item in row.items if item.kind == "dataset"] == [("my_birds", False)]


def test_a_profile_is_answered_by_any_device_of_its_kind() -> None:
    cell = {"method": "plain", "variant": "paper", "backbone": "resnet50", "classes": 5, "image_size": 64}
    wanted = ProfileRun(**cell, batch_size=2, device="cuda", hardware=ANY_GPU)
    measured = wanted.model_copy(update={"hardware": "NVIDIA H100"})
    on_cpu = wanted.model_copy(update={"device": "cpu", "hardware": "a processor"})
    row = Experiment("cost", {}, (wanted,), gpu=True)
    assert missing([row], [blank(on_cpu, CPU)]) == [row]
    assert missing([row], [blank(measured, CPU)]) == []


def test_only_narrows_the_numbers_and_a_wrong_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch)
    (row,) = experiments(Environment(), Changes(only={"method": "sef"}))
    assert row.names["method"] == "sef"
    with pytest.raises(UserError, match="did you mean 'method'"):
        experiments(Environment(), Changes(only={"methd": "sef"}))
    with pytest.raises(UserError, match="no Run of the plan has method=seff; did you mean 'sef'"):
        experiments(Environment(), Changes(only={"method": "seff"}))


@pytest.mark.parametrize(
    ("only", "fit"),
    [
        ({"method": "swinfc"}, True),
        ({"variant": "paper", "method": "swin*,sef"}, True),
        ({"dataset": "cub_200_2011", "job": "train", "protocol": "paper"}, True),
        ({"backbone": "swin_base*", "image_size": "384", "recipe.image_size": "384"}, True),
        ({"method": "sef"}, False),
        ({"image_size": "448"}, False),
        ({"seed": "0"}, False),  # not known of it
    ],
    ids=str,
)
def test_only_keeps_rows_without_runs_by_what_is_known_of_them(
    only: dict[str, str], fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "available", lambda: ["swinfc"])
    monkeypatch.setattr(suite, "available", list)
    environment = Environment(tmp_path, tmp_path)
    assert all(not row.runs for row in experiments(environment, NO_CHANGES))
    if fit:
        assert experiments(environment, Changes(only=only))
    else:
        with pytest.raises(UserError, match="no Run of the plan"):
            experiments(environment, Changes(only=only))


def test_only_keeps_a_row_of_several_methods_without_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_numbers(monkeypatch, datasets=["cub_200_2011"], backbones=["resnet50"], methods=["plain", "ws_dan:maps_4"])
    for only in {"method": "plain"}, {"method": "ws_dan", "variant": "maps_4"}, {"dataset": "cub*"}:
        assert len(experiments(Environment(tmp_path, tmp_path), Changes(only=only))) == 1
    for only in {"method": "plain", "variant": "maps_4"}, {"backbone": "resnet18"}:
        with pytest.raises(UserError, match="no Run of the plan"):
            experiments(Environment(tmp_path, tmp_path), Changes(only=only))
    with pytest.raises(UserError, match="did you mean 'method'"):
        experiments(Environment(tmp_path, tmp_path), Changes(only={"methd": "plain"}))


def test_publishing_commits_what_is_done_and_writes_down_what_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_numbers(monkeypatch)
    rows, store = experiments(Environment(), NO_CHANGES), ResultStore(tmp_path)
    finish(rows[0].runs[0], store)
    finish(rows[0].runs[0].model_copy(update={"seed": 7}), store)  # not one of the numbers
    (*published, planned), _ = publish_all(rows, store)
    assert [path.name for path in published] == [rows[0].runs[0].id]
    assert [(row["method"], row["seeds"]) for row in store.planned()] == [("plain", [1]), ("sef", [0, 1])]
    assert planned.name == "planned.json"


def test_publishing_passes_over_a_run_that_failed_here_and_is_committed_as_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_numbers(monkeypatch)
    rows, store = experiments(Environment(), NO_CHANGES), ResultStore(tmp_path)
    run = rows[0].runs[0]
    finish(run, store)
    publish(store, run.id)
    record = blank(run, CPU)
    record.status, record.error = "failed", "out of luck"
    store.write(record)
    (planned,), _ = publish_all(rows, store)
    assert planned.name == "planned.json"


def test_the_projects_numbers_can_be_planned_without_data_or_weights(tmp_path: Path) -> None:
    rows = experiments(Environment(tmp_path, tmp_path), NO_CHANGES)
    assert {"cub100", "ablations", "flowers17", "cost", "papers"} <= {row.suite for row in rows}
    assert all(row.runs or row.lacking for row in rows)
    published = [row for row in rows if row.names.get("published") == 89.4]
    assert any(row.names["method"] == "ws_dan" and row.names["dataset"] == "cub_200_2011" for row in published)
