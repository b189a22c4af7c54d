"""Several Runs at a time, each in its own process: the bits of one after the other, and each failure its own."""

from __future__ import annotations

import io
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.environment import Environment, Execution
from benchmarks.execution import execute, worker
from benchmarks.execution.time_budget import TimeBudget
from benchmarks.planning import expand, suite_builders
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.train import Trainer
from reports.load import overloaded
from results.record import Record
from results.settings import AnyRun, Run
from results.store import WEIGHTS, ResultStore
from tests.helpers.small_training import Interrupts, small_run

QUIET = Console(quiet=True)
TWO = Environment(execution=Execution(parallel=2))


def seeds(number: int) -> list[AnyRun]:
    return [small_run().model_copy(update={"seed": seed}) for seed in range(number)]


def wait_for(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until, f"{file} never came"
        time.sleep(0.01)


def met(case: AnyRun, store: ResultStore) -> None:
    """Returns once two Runs are at work."""
    assert isinstance(case, Run)
    (store.root / f"met-{case.seed}").touch()
    wait_for(store.root / f"met-{1 - case.seed}")


def meet(how: str, case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """Ends once both seeds have begun; the first one dies if that is `how`."""
    met(case, store)
    assert isinstance(case, Run)
    if how == "dies" and case.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    record = worker.blank(case, torch.device("cpu"))
    store.write(record)
    return record


def test_runs_side_by_side_have_the_bits_of_runs_one_after_the_other(tmp_path: Path) -> None:
    plan, said = seeds(3), io.StringIO()
    alone, together = (ResultStore(tmp_path / name) for name in ("alone", "together"))
    execute.execute(plan, alone, Environment(), QUIET)
    summary = execute.execute(plan, together, TWO, Console(file=said, width=300), own_process=True)
    assert sorted(summary.done) == sorted(run.id for run in plan)
    for run in plan:
        one, other = (load_file(store.root / run.id / WEIGHTS) for store in (alone, together))
        assert all(torch.equal(one[name], other[name]) for name in one)
        pair = [store.read(run.id) for store in (alone, together)]
        assert [record.training.get("parallel") for record in pair if record] == [None, 2]
        assert [overloaded(record) for record in pair if record][1]  # its rate carries the mark
    assert all(f"[{number}/3]" in said.getvalue() for number in (1, 2, 3))


def test_a_training_that_shared_its_device_only_at_first_says_so(tmp_path: Path) -> None:
    (run,), store = seeds(1), ResultStore(tmp_path)
    assert isinstance(run, Run)
    shared = Environment(execution=Execution(parallel=2, checkpoint_seconds=0))
    with pytest.raises(KeyboardInterrupt):
        Trainer(run, shared, store.folder(run.id), Interrupts(3)).train()
    record = worker.carry_out(run, store, Environment(), Silent())
    assert (record.resumed, record.training["parallel"]) == (1, 2)


@pytest.mark.parametrize("how", ["lives", "dies"])
def test_two_are_at_work_at_once_and_one_that_dies_fails_alone(how: str, tmp_path: Path) -> None:
    first, second = seeds(2)
    summary = execute.execute([first, second], ResultStore(tmp_path), TWO, QUIET, True, partial(meet, how))
    failed = [first.id] if how == "dies" else []
    assert (summary.failed, sorted(summary.done)) == (failed, sorted({first.id, second.id} - set(failed)))


def note_and_wait(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """Notes who is at work when a Run begins and when it ends."""
    own = store.root / f"{case.job}-{os.getpid()}.at-work"
    others = [path.name for path in store.root.glob("*.at-work")]
    if others and (case.job == "profile" or any(name.startswith("profile") for name in others)):
        raise AssertionError(f"{case.job} began beside {others}")
    own.touch()
    time.sleep(0.3)
    own.unlink()
    record = worker.blank(case, torch.device("cpu"))
    store.write(record)
    return record


def test_nothing_runs_beside_a_measurement(tmp_path: Path) -> None:
    measured = expand.expand(suite_builders.profile(["plain"], ["test_resnet"], [32], [4, 8]), Environment())
    first, *rest = seeds(3)
    plan = [first, measured[0], *rest, measured[1]]
    summary = execute.execute(plan, ResultStore(tmp_path), TWO, QUIET, True, note_and_wait)
    assert (sorted(summary.done), summary.failed) == (sorted(run.id for run in plan), [])


def meet_and_stay(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    met(case, store)
    listener.note("both at work")
    time.sleep(60)
    raise AssertionError


class Interrupting(io.StringIO):
    """Ctrl-C once both Runs have spoken."""

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("both at work") == 2 and "both at work" in text:
            raise KeyboardInterrupt
        return written


def test_ctrl_c_ends_all_of_them_at_once(tmp_path: Path) -> None:
    store, began = ResultStore(tmp_path), time.monotonic()
    plan = seeds(2)
    with pytest.raises(KeyboardInterrupt):
        execute.execute(plan, store, TWO, Console(file=Interrupting(), width=300), True, meet_and_stay)
    assert time.monotonic() - began < 60
    assert [store.read(run.id) for run in plan] == [None, None]
    again = execute.execute(plan, store, TWO, QUIET, True, partial(meet, "lives"))  # their locks are free
    assert sorted(again.done) == sorted(run.id for run in plan)


def test_when_the_time_is_up_all_of_them_are_unfinished(tmp_path: Path) -> None:
    plan = seeds(2)
    budget = TimeBudget(20.0)
    summary = execute.execute(plan, ResultStore(tmp_path), TWO, QUIET, True, meet_and_stay, budget)
    assert summary.unfinished == [run.id for run in plan]
