"""A plan with a time limit: Runs that fit come first, and an interrupted Run resumes."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.environment import Environment, Execution
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import execute, heartbeat
from benchmarks.execution.heartbeat import Heartbeat
from benchmarks.execution.time_budget import TimeBudget, TimeIsUp
from benchmarks.execution.worker import CarryOut, blank
from benchmarks.hardware import device_name
from benchmarks.planning import expand, suite_builders
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.listener import Listener
from results.record import Estimate, Record
from results.settings import AnyRun, ProfileRun, Run
from results.store import ResultStore
from tests.helpers.fakes.fake_results import at_one_rate
from tests.helpers.small_training import small_run

QUIET = Console(quiet=True)
SHORT, LONG = small_run(epochs=1), small_run(epochs=20)


def do_nothing(
    case: AnyRun, store: ResultStore, environment: Environment, listener: Listener, estimate: Estimate | None = None
) -> Record:
    record = blank(case, torch.device("cpu"))
    record.estimate = estimate
    store.write(record)
    return record


def keep_order(order: list[str]) -> CarryOut:
    """`do_nothing`, which also appends the Run's id to `order`."""

    def carry_out(case: AnyRun, *others: Any, **more: Any) -> Record:
        order.append(case.id)
        return do_nothing(case, *others, **more)

    return carry_out


def known_to_take(seconds: float, case: Run, store: ResultStore) -> None:
    """Stores a finished Run like `case`, another seed, on this device."""
    earlier = case.model_copy(update={"seed": 99})
    record = blank(earlier, torch.device("cpu"))
    assert record.hardware["name"] == device_name(torch.device("cpu"))
    record.seconds, record.split = seconds, {"train": 18, "validation": 6, "test": 15}
    store.write(record)


def estimator_of(store: ResultStore) -> Estimator:
    return Estimator(store.records(), Environment())


def test_when_the_time_is_up_the_run_that_is_on_is_interrupted_and_the_rest_is_left(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    def carry_out(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
        if case.id == LONG.id:
            signal.raise_signal(signal.SIGALRM)
        return do_nothing(case, store, environment, listener)

    runs = [SHORT, LONG]
    summary = execute.execute(runs, store, Environment(), QUIET, carry_out=carry_out, budget=TimeBudget(300.0))
    assert summary.done == [SHORT.id]
    assert summary.unfinished == [LONG.id]
    assert store.read(LONG.id) is None


def test_a_training_that_is_cut_off_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run, save = ResultStore(tmp_path), small_run(epochs=3), checkpoint.save

    def rings_after_the_second_epoch(folder: Path, of: Run, state: dict[str, Any]) -> None:
        save(folder, of, state)
        if state["epoch"] == 2:
            raise TimeIsUp

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", rings_after_the_second_epoch)
        often = Environment(execution=Execution(checkpoint_seconds=0))
        assert execute.execute([run], store, often, QUIET, budget=TimeBudget(300.0)).unfinished == [run.id]
    assert execute.execute([run], store, Environment(), QUIET, budget=TimeBudget(300.0)).done == [run.id]
    record = store.read(run.id)
    assert record is not None
    assert record.resumed == 1


def test_a_run_that_would_not_end_in_time_is_postponed_until_the_others_are_done(tmp_path: Path) -> None:
    store, order = ResultStore(tmp_path), list[str]()
    known_to_take(1000.0, LONG, store)
    known = {"budget": TimeBudget(200.0), "estimator": estimator_of(store)}
    summary = execute.execute([LONG, SHORT], store, Environment(), QUIET, carry_out=keep_order(order), **known)
    assert order == [SHORT.id, LONG.id]
    assert summary.unfinished == []


def as_expected(
    case: AnyRun, store: ResultStore, environment: Environment, listener: Listener, estimate: Estimate
) -> Record:
    """`do_nothing`, whose record has the seconds that were expected."""
    record = do_nothing(case, store, environment, listener, estimate)
    record.seconds = estimate.seconds
    store.write(record)
    return record


def test_a_postponed_run_lets_all_pass_that_fit_also_where_each_has_its_own_process(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    known_to_take(1000.0, LONG, store)
    short = [SHORT.model_copy(update={"seed": seed}) for seed in range(4)]
    known = {"budget": TimeBudget(200.0), "estimator": estimator_of(store)}
    plan = [short[0], LONG, *short[1:]]
    summary = execute.execute(plan, store, Environment(), QUIET, True, as_expected, **known)
    assert summary.done == [*(run.id for run in short), LONG.id]


def measured(case: AnyRun, *others: Any, **more: Any) -> Record:
    """`as_expected`, of a measurement."""
    assert isinstance(case, ProfileRun)
    record = as_expected(case, *others, **more)
    record.speed = at_one_rate(case.batch_size)
    others[0].write(record)
    return record


def test_a_sweep_whose_sizes_were_all_postponed_is_carried_out_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "POLL_SECONDS", 0.02)
    store = ResultStore(tmp_path)
    sweep = expand.expand(suite_builders.profile(["plain"], ["test_resnet"], [32], "sweep"), Environment())
    earlier = blank(sweep[0].model_copy(update={"repeat": 9}), torch.device("cpu"))
    earlier.seconds = 1000.0
    store.write(earlier)
    known = {"budget": TimeBudget(200.0), "estimator": estimator_of(store)}
    summary = execute.execute([*sweep, SHORT], store, Environment(), QUIET, carry_out=by_kind, **known)
    assert summary.done == [SHORT.id, *(run.id for run in sweep[:3])]
    assert summary.not_needed == [run.id for run in sweep[3:]]


def by_kind(case: AnyRun, *others: Any, **more: Any) -> Record:
    return (measured if isinstance(case, ProfileRun) else do_nothing)(case, *others, **more)


def interrupted(store: ResultStore, run: AnyRun, done: float) -> None:
    now = datetime.now(UTC)
    beat = Heartbeat(run=run.id, label="", host="h", pid=1, started=now, updated=now, work=100.0, done=done)
    (store.folder(run.id) / heartbeat.FILE).write_text(beat.model_dump_json(), encoding="utf-8")


@pytest.mark.parametrize(("done", "first"), [(0.0, SHORT), (50.0, SHORT), (95.0, LONG), (100.0, LONG)])
def test_a_run_that_is_nearly_done_is_not_postponed(done: float, first: AnyRun, tmp_path: Path) -> None:
    store, order = ResultStore(tmp_path), list[str]()
    interrupted(store, LONG, done)

    known_to_take(1000.0, LONG, store)
    known_to_take(10.0, SHORT, store)
    known = {"budget": TimeBudget(200.0), "estimator": estimator_of(store)}
    execute.execute([LONG, SHORT], store, Environment(), QUIET, carry_out=keep_order(order), **known)
    assert order[0] == first.id
    assert len(order) == 2


def test_without_a_budget_nothing_is_postponed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    known_to_take(1000.0, LONG, store)
    known = {"carry_out": do_nothing, "estimator": estimator_of(store)}
    assert execute.execute([LONG, SHORT], store, Environment(), QUIET, **known).done == [LONG.id, SHORT.id]


def test_a_record_keeps_what_was_expected_before_it_began(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    known_to_take(1000.0, LONG, store)
    execute.execute([LONG], store, Environment(), QUIET, estimator=estimator_of(store))
    record = store.read(LONG.id)
    assert record is not None
    assert record.estimate == Estimate(seconds=1000.0, source="finished Runs")
    assert all("load" in record.state[when] for when in ("before", "after"))


def test_an_alarm_does_not_outlive_its_budget() -> None:
    with TimeBudget(300.0).enforced():
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    with pytest.raises(TimeIsUp), TimeBudget(0.1).enforced():
        time.sleep(60)


def test_only_the_main_thread_can_keep_a_budget() -> None:
    faults: list[BaseException] = []

    def keep() -> None:
        try:
            with TimeBudget(1.0).enforced():
                pass
        except RuntimeError as error:
            faults.append(error)

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()
    assert "main thread" in str(faults[0])
