"""A sweep over batch sizes ends where both modes are full, by what was measured; nothing else of a plan ends early."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.cli.options import Request
from benchmarks.cli.views import forecast, preview
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import execute
from benchmarks.execution.worker import blank
from benchmarks.planning import batch_sweep, expand, left_to_do, suite_builders
from benchmarks.planning.reference.missing import unanswered
from benchmarks.planning.suite import Suite
from benchmarks.training.listener import Listener
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.speed import Mode, Speed
from results.store import REFERENCE, ResultStore

QUIET = Console(quiet=True)
FULL_AT, MEMORY = 8, 64
"""Batch sizes: from the first on a fake device is no faster; beyond the second it has no memory."""


def swept(batch_sizes: Any = "sweep", **more: Any) -> list[AnyRun]:
    found = suite_builders.profile(["plain"], ["test_resnet"], [32], batch_sizes, **more)
    return expand.expand(found, Environment())


def batches(ids: list[str], runs: list[AnyRun]) -> list[int]:
    size = {run.id: run.batch_size for run in runs if isinstance(run, ProfileRun)}
    return [size[one] for one in ids]


def record_of(
    run: AnyRun, rates: Mapping[Mode, float], exceeded: Mapping[Mode, int] | None = None, status: Any = "done"
) -> Record:
    assert isinstance(run, ProfileRun)
    record = blank(run, torch.device("cpu"))
    record.status = status
    common = {"images_per_s_p10": 1.0, "images_per_s_p90": 1.0, "peak_memory": 1}
    record.speed = {m: Speed(batch_size=run.batch_size, images_per_s=rate, **common) for m, rate in rates.items()}
    record.exceeded = dict(exceeded or {})
    return record


def device_with_room(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """Rates rise with the batch size until `FULL_AT`."""
    assert isinstance(case, ProfileRun)
    rate = 100.0 * min(case.batch_size, FULL_AT)
    record = record_of(case, {"inference": rate, "train": rate / 3})
    store.write(record)
    return record


def device_without_memory(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """Rates rise as far as memory goes, which for training is half as far."""
    assert isinstance(case, ProfileRun)
    room: dict[Mode, int] = {"inference": MEMORY, "train": MEMORY // 2}
    rates = {mode: 100.0 * case.batch_size for mode in room if case.batch_size <= room[mode]}
    record = record_of(case, rates, {mode: 2**30 for mode in room if mode not in rates})
    store.write(record)
    return record


def test_it_ends_two_doublings_after_the_rates_stop_to_rise(tmp_path: Path) -> None:
    runs = swept()
    summary = execute.execute(runs, ResultStore(tmp_path), Environment(), QUIET, carry_out=device_with_room)
    assert batches(summary.done, runs) == [1, 2, 4, 8, 16, 32]
    assert batches(summary.not_needed, runs) == [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]
    assert not summary.failed


def test_it_ends_where_memory_does_in_both_modes(tmp_path: Path) -> None:
    runs = swept()
    summary = execute.execute(runs, ResultStore(tmp_path), Environment(), QUIET, carry_out=device_without_memory)
    assert batches(summary.done, runs)[-1] == 2 * MEMORY


def test_begun_again_it_goes_on_where_it_was_and_ends_where_it_would_have(tmp_path: Path) -> None:
    runs, store = swept(), ResultStore(tmp_path)
    for run in runs[:3]:
        device_with_room(run, store, Environment(), None)  # type: ignore[arg-type]
    summary = execute.execute(runs, store, Environment(), QUIET, carry_out=device_with_room)
    assert batches(summary.skipped, runs) == [1, 2, 4]
    assert batches(summary.done, runs) == [8, 16, 32]
    again = execute.execute(runs, store, Environment(), QUIET, carry_out=device_with_room)
    assert batches(again.skipped, runs) == [1, 2, 4, 8, 16, 32]
    assert not again.done


def test_committed_records_count(tmp_path: Path) -> None:
    runs = swept()
    committed = ResultStore(tmp_path / REFERENCE)
    for run in runs[:6]:
        device_with_room(run, committed, Environment(), None)  # type: ignore[arg-type]
    summary = execute.execute(runs[6:], ResultStore(tmp_path), Environment(), QUIET, carry_out=device_with_room)
    assert not summary.done


def test_sizes_that_are_named_are_all_measured(tmp_path: Path) -> None:
    runs = swept([1, 2, 4, 8, 16, 32, 64, 128])
    summary = execute.execute(runs, ResultStore(tmp_path), Environment(), QUIET, carry_out=device_with_room)
    assert batches(summary.done, runs) == [1, 2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize("first", ["named", "swept"])
def test_a_size_that_is_named_beside_a_sweep_is_measured(tmp_path: Path, first: str) -> None:
    entry = {"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [32]}
    entries = [entry | {"batch_sizes": [128]}, entry | {"batch_sizes": "sweep"}]
    found = entries if first == "named" else entries[::-1]
    runs = expand.expand(Suite.model_validate({"about": "", "profile": found}), Environment())
    assert len(runs) == len(batch_sweep.BATCHES)
    summary = execute.execute(runs, ResultStore(tmp_path), Environment(), QUIET, carry_out=device_with_room)
    assert 128 in batches(summary.done, runs)
    assert 64 in batches(summary.not_needed, runs)


def test_each_series_ends_by_itself(tmp_path: Path) -> None:
    runs = swept(precisions=["fp32", "bf16"], repeats=2)
    store = ResultStore(tmp_path)
    of_fp32 = [run for run in runs if isinstance(run, ProfileRun) and run.precision == "fp32" and run.repeat == 0]
    for run in of_fp32[:6]:
        device_with_room(run, store, Environment(), None)  # type: ignore[arg-type]
    summary = execute.execute(runs, store, Environment(), QUIET, carry_out=device_with_room)
    assert len(summary.done) == 3 * 6


def test_being_of_a_sweep_changes_no_id() -> None:
    named, of_sweep = swept([4])[0], swept()[2]
    assert isinstance(of_sweep, ProfileRun)
    assert of_sweep.in_sweep
    assert named.id == of_sweep.id
    assert "in_sweep" not in of_sweep.model_dump()


def device_without_training(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """As `device_with_room`, of a method that learns nothing by gradients."""
    assert isinstance(case, ProfileRun)
    record = record_of(case, {"inference": 100.0 * min(case.batch_size, FULL_AT)})
    store.write(record)
    return record


def test_without_training_steps_it_ends_where_inference_does(tmp_path: Path) -> None:
    runs = swept()
    summary = execute.execute(runs, ResultStore(tmp_path), Environment(), QUIET, carry_out=device_without_training)
    assert batches(summary.done, runs) == [1, 2, 4, 8, 16, 32]


def test_a_mode_that_one_size_alone_could_not_measure_is_waited_for() -> None:
    """Batch norm can't train on a single image."""
    sizes = [run for run in swept() if isinstance(run, ProfileRun)]
    both: dict[Mode, float] = {"inference": 100.0, "train": 100.0}
    found = [record_of(sizes[0], {"inference": 100.0}), *(record_of(run, both) for run in sizes[1:4])]
    known = {record.run.id: record for record in found}
    assert [batch_sweep.end(run, lambda one: known.get(one.id)) is None for run in sizes[1:5]] == [True] * 3 + [False]


def end_of(rates: list[tuple[float, float] | None]) -> str | None:
    """`sweep.end` of the batch size after those whose rates in inference and training are given; None: it failed."""
    runs = [run for run in swept() if isinstance(run, ProfileRun)]
    known = {
        run.id: record_of(
            run, {"inference": rate[0], "train": rate[1]} if rate else {}, None, "done" if rate else "failed"
        )
        for run, rate in zip(runs, rates, strict=False)
    }
    return batch_sweep.end(runs[len(rates)], lambda run: known.get(run.id))


def test_one_mode_that_still_rises_keeps_it_going() -> None:
    assert end_of([(100, 10), (100, 20), (100, 40)]) is None
    assert end_of([(100, 40), (100, 40), (100, 40)]) is not None


def test_one_size_that_is_no_faster_is_not_the_end() -> None:
    assert end_of([(100, 100), (100, 100)]) is None
    assert end_of([(100, 100), (90, 90), (200, 200), (200, 200)]) is None


def test_a_size_that_failed_says_nothing() -> None:
    assert end_of([(100, 100), (100, 100), None]) is None
    assert end_of([(100, 100), None, (100, 100), (100, 100)]) is not None


def test_the_end_is_told_with_its_reason() -> None:
    assert end_of([(50, 50), (100, 100), (104, 104), (104, 104)]) == (
        "train is no faster than at batch 2; inference is no faster than at batch 2"
    )


def test_larger_sizes_wait_for_the_smaller_ones_of_their_own_sweep() -> None:
    runs = swept(precisions=["fp32", "bf16"])
    of = {(run.precision, run.batch_size): run for run in runs if isinstance(run, ProfileRun)}
    assert batch_sweep.waits(of["fp32", 8], [of["fp32", 4], of["fp32", 8]])
    assert not batch_sweep.waits(of["fp32", 8], [of["fp32", 8], of["fp32", 16], of["bf16", 4]])
    named = swept([4, 8])
    assert not batch_sweep.waits(named[1], named)
    assert not batch_sweep.waits(of["fp32", 8], named)


def slowly(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    time.sleep(0.2)
    return device_with_room(case, store, environment, listener)


def test_two_workers_measure_no_size_beyond_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "POLL_SECONDS", 0.02)
    runs, store = swept(), ResultStore(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(execute.execute, runs, store, Environment(), QUIET, carry_out=slowly) for _ in range(2)]
    found = [one.result() for one in both]
    assert sorted(batches([*found[0].done, *found[1].done], runs)) == [1, 2, 4, 8, 16, 32]
    assert {record.run.batch_size for record in store.records()} == {1, 2, 4, 8, 16, 32}


def test_a_cluster_gets_a_sweep_as_one_task() -> None:
    named, of_sweep = swept([3, 5]), swept()
    assert batch_sweep.together([named[0], *of_sweep, named[1]]) == [(named[0],), tuple(of_sweep), (named[1],)]
    two = swept(repeats=2)
    assert [len(task) for task in batch_sweep.together(two)] == [len(batch_sweep.BATCHES)] * 2


def test_nothing_is_missing_of_a_sweep_that_came_to_its_end(tmp_path: Path) -> None:
    runs, store = swept(), ResultStore(tmp_path)
    for run in runs[:5]:
        device_with_room(run, store, Environment(), None)  # type: ignore[arg-type]
    assert unanswered(runs, store.records()) == runs[5:]
    device_with_room(runs[5], store, Environment(), None)  # type: ignore[arg-type]
    assert unanswered(runs, store.records()) == []
    elsewhere = [run.model_copy(update={"hardware": "another processor"}) for run in runs]
    assert unanswered(elsewhere, store.records()) == []


def test_a_plan_says_that_a_sweep_may_end_early(tmp_path: Path) -> None:
    rows = preview.rows(swept(), ResultStore(tmp_path), Environment())
    assert {row["state"] for row in rows} == {"to do until full"}
    with pytest.raises(UserError, match="batch_sizes"):
        swept("all")


def test_a_plan_has_nothing_to_do_for_sizes_beyond_the_end_of_a_sweep(tmp_path: Path) -> None:
    runs, store = swept(), ResultStore(tmp_path)
    for run in runs[:6]:
        device_with_room(run, store, Environment(), None)  # type: ignore[arg-type]
    states = [row["state"] for row in preview.rows(runs, store, Environment())]
    assert states == ["done"] * 6 + ["not needed"] * 9
    request = Request(results=tmp_path)
    said = forecast.of_runs(runs, forecast.estimator(Environment(), request), request)
    assert said == ["total: 15 Runs, 6 done, 9 not needed, 0 to do"]


def test_a_size_beyond_the_end_that_failed_is_not_tried_again(tmp_path: Path) -> None:
    runs, store = swept(), ResultStore(tmp_path)
    for run in runs[:6]:
        device_with_room(run, store, Environment(), None)  # type: ignore[arg-type]
    store.write(record_of(runs[7], {}, status="failed"))
    found = left_to_do.of(runs, store)
    assert (found.done, found.not_needed, found.to_do) == (runs[:6], runs[6:], [])


def test_of_a_second_repeat_only_its_own_sizes_are_missing(tmp_path: Path) -> None:
    """Not those of the first repeat beyond the end of its sweep."""
    first, store = swept(), ResultStore(tmp_path)
    execute.execute(first, store, Environment(), QUIET, carry_out=device_with_room)
    left = unanswered(swept(repeats=2), store.records())
    assert [run.replicate for run in left] == [1] * len(first)


def test_a_sweep_is_judged_and_continued_by_the_records_of_one_machine() -> None:
    """A fast machine stopped after two sizes, a slow one is still rising: together they would look like an end."""
    runs = swept()
    rates: list[Mapping[Mode, float]] = [{"train": rate, "inference": rate} for rate in (100.0, 200.0, 4.0, 8.0)]
    fast = [run.model_copy(update={"hardware": "fast"}) for run in runs[:2]]
    slow = [run.model_copy(update={"hardware": "slow"}) for run in runs[2:4]]
    records = [record_of(run, rate) for run, rate in zip([*fast, *slow], rates, strict=True)]
    assert unanswered(runs, records) == runs
    continued = [run.model_copy(update={"hardware": "slow"}) for run in runs]
    assert unanswered(continued, records) == [*continued[:2], *continued[4:]]
