"""Which Runs of the project's numbers are missing, in which order they are done, and what is published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from benchmarks.environment import Environment
from benchmarks.execution.worker import blank
from benchmarks.planning.overrides import NO_CHANGES
from benchmarks.planning.reference.experiments import ANY_GPU, Experiment, experiments
from benchmarks.planning.reference.missing import (
    in_order,
    missing,
    missing_here,
    publish_all,
    unanswered,
)
from results import settings
from results.publish import publish
from results.settings import ProfileRun, Run
from results.store import ResultStore
from tests.helpers.small_suites import small_numbers
from tests.helpers.small_training import small_run

CPU = torch.device("cpu")
UNKNOWN = ("images_sha256", "classes_sha256", "split_sha256", "weights_sha256")
"""Settings that are known only where data and weights are."""


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
        ((3, 4, 5, 6), (0, 1), [2], [2]),  # repeats that nobody asked for
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


def test_of_another_machines_gpu_what_it_lacks_is_listed_on_a_cpu() -> None:
    gpus = [run.model_copy(update={"device": "cuda"}) for run in profiled(ANY_GPU, range(3))]
    row = Experiment("cost", {}, tuple(gpus), gpu=True)
    records = [blank(gpus[0].model_copy(update={"hardware": "NVIDIA H100"}), CPU)]
    assert [one.seeds for one in missing_here([row], records)] == [[1, 2]]


def test_publishing_takes_the_repeats_that_join_the_committed_ones(tmp_path: Path) -> None:
    """And what is written down as missing is missing of the committed ones."""
    row = Experiment("mine", {}, tuple(profiled("ours", range(3))), gpu=False)
    store = ResultStore(tmp_path)
    for run in profiled("ours", (1, 2)):
        finish(run, store)
        publish(store, run.id)
        (tmp_path / run.id / "record.json").unlink()
    for run in (*profiled("another", (1, 2)), *profiled("ours", (0,))):
        finish(run, store)
    (published, _), _ = publish_all([row], store)
    assert published.name == row.runs[0].id
    assert store.planned() == []


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


def test_a_profile_is_answered_by_any_device_of_its_kind() -> None:
    cell = {"method": "plain", "variant": "paper", "backbone": "resnet50", "classes": 5, "image_size": 64}
    wanted = ProfileRun(**cell, batch_size=2, device="cuda", hardware=ANY_GPU)
    measured = wanted.model_copy(update={"hardware": "NVIDIA H100"})
    on_cpu = wanted.model_copy(update={"device": "cpu", "hardware": "a processor"})
    row = Experiment("cost", {}, (wanted,), gpu=True)
    assert missing([row], [blank(on_cpu, CPU)]) == [row]
    assert missing([row], [blank(measured, CPU)]) == []


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
