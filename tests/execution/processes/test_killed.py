"""A measurement that runs out of memory is a result, and so is what a process had stored when it was killed; a Run
whose process dies otherwise has failed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import hardware
from benchmarks.environment import Environment
from benchmarks.execution import execute, worker
from benchmarks.planning import batch_sweep, expand, suite_builders
from benchmarks.training.listener import Listener
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.store import ResultStore
from tests.helpers.small_training import small_run


def die(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """As the system ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def fault(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """As a library ends it that writes to memory which it was not given."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # without the report of pytest's fault handler
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def store_and_die(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """A kill between the record and the end of the process."""
    store.write(worker.blank(case, torch.device("cpu")))
    return die(case, store, environment, listener)


def test_a_run_is_done_if_its_process_dies_after_the_record(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    run = small_run()
    summary = execute.execute([run], store, Environment(), Console(quiet=True), True, store_and_die)
    assert (summary.done, summary.failed, summary.elsewhere) == ([run.id], [], [])
    record = store.read(run.id)
    assert record is not None
    assert record.status == "done"


@pytest.mark.parametrize("kills", [1, 0])
def test_a_measurement_killed_for_memory_needs_more_than_there_is(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([7, 7 + kills])
    monkeypatch.setattr(hardware, "memory_kills", lambda: next(counts))
    store = ResultStore(tmp_path)
    first, second, *_ = expand.expand(suite_builders.profile(["plain"], ["test_resnet"], [32], "sweep"), Environment())
    execute.execute([first], store, Environment(), Console(quiet=True), carry_out=die)
    record = store.read(first.id)
    assert record is not None
    assert isinstance(second, ProfileRun)
    if not kills:
        assert (record.status, record.exceeded) == ("failed", {})
        return
    assert record.status == "done"
    assert set(record.exceeded) == {"inference", "train"}
    assert "out of memory" in record.missing["speed.train"]
    assert batch_sweep.end(second, lambda _: record) is not None  # nor is a larger one tried


@pytest.mark.parametrize("limit", [10**12, None])
def test_a_library_that_dies_within_a_limit_on_memory_died_of_it(limit: int | None, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    (case,) = expand.expand(suite_builders.profile(["plain"], ["test_resnet"], [32], [4]), Environment())
    assert isinstance(case, ProfileRun)
    case = case.model_copy(update={"memory_limit": limit})
    execute.execute([case], store, Environment(), Console(quiet=True), carry_out=fault)
    record = store.read(case.id)
    assert record is not None
    assert (record.status, set(record.exceeded)) == (
        ("failed", set()) if limit is None else ("done", {"inference", "train"})
    )
