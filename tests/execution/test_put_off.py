"""What a limit on time takes a Run to need: of one that was interrupted, what is left of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.environment import Environment
from benchmarks.execution import execute, heartbeat
from benchmarks.execution.heartbeat import Heartbeat
from benchmarks.execution.time_budget import DurationEstimator, TimeBudget
from benchmarks.execution.worker import blank
from benchmarks.training.listener import Listener
from results.record import Record
from results.settings import AnyRun
from results.store import ResultStore
from tests.helpers.small_training import small_run

LONG, SHORT = small_run(epochs=20), small_run(epochs=1)


def interrupted(store: ResultStore, run: AnyRun, done: float) -> None:
    now = datetime.now(UTC)
    beat = Heartbeat(run=run.id, label="", host="h", pid=1, started=now, updated=now, work=100.0, done=done)
    (store.folder(run.id) / heartbeat.FILE).write_text(beat.model_dump_json(), encoding="utf-8")


@pytest.mark.parametrize(("done", "first"), [(0.0, SHORT), (50.0, SHORT), (95.0, LONG), (100.0, LONG)])
def test_a_run_that_is_nearly_done_is_not_put_off(
    done: float, first: AnyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, order = ResultStore(tmp_path), []
    interrupted(store, LONG, done)

    def carry_out(case: AnyRun, store: ResultStore, environment: Environment, _: Listener) -> Record:
        order.append(case.id)
        record = blank(case, torch.device("cpu"))
        store.write(record)
        return record

    whole = execute.work_of(LONG, Environment())

    def seconds(_: DurationEstimator, case: AnyRun, work: float) -> Any:
        return 1000.0 * work / whole if case.id == LONG.id else None

    monkeypatch.setattr(DurationEstimator, "seconds", seconds)
    execute.execute(
        [LONG, SHORT], store, Environment(), Console(quiet=True), carry_out=carry_out, budget=TimeBudget(200.0)
    )
    assert order[0] == first.id
    assert len(order) == 2
