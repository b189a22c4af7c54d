"""A Run that is being carried out in a process of its own, and what becomes of it if that process dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import datetime

import torch

from benchmarks import hardware, isolation
from benchmarks.environment import Environment
from benchmarks.execution import heartbeat, locks, worker
from benchmarks.execution.display import RunDisplay
from benchmarks.execution.worker import Attempt, CarryOut
from benchmarks.profiling import measure
from benchmarks.profiling.max_batch import OUT_OF_MEMORY
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.store import ResultStore


class RunAtWork:
    """The `number`th Run of a plan, at work from now on until `attempt` is asked for, or `stop` is called."""

    def __init__(
        self,
        number: int,
        case: AnyRun,
        store: ResultStore,
        environment: Environment,
        before: datetime | None,
        carry_out: CarryOut,
        display: RunDisplay,
    ) -> None:
        """`before`: the start of the record that the Run had when the plan began."""
        self.number, self.case, self.display = number, case, display
        self.store, self.environment, self.before = store, environment, before
        self._kills = hardware.memory_kills()
        arguments = (case, store.root, environment, before, carry_out)
        self.process = isolation.Isolated(worker.attempt, *arguments, on_message=display.on_message)

    def attempt(self) -> Attempt:
        """What came of it. Raises what concerns every Run, such as results that can't be written."""
        try:
            found: Attempt = self.process.result()
        except isolation.WorkerDied as death:
            if death.signal == signal.SIGTERM and heartbeat.JOB_VARIABLE in os.environ:
                raise KeyboardInterrupt from None  # Slurm asks every process of a job to end
            killed = death.signal == signal.SIGKILL and hardware.memory_kills() > self._kills
            of_memory = killed or _died_at_its_limit(self.case, death)
            return record_death(self.case, self.store, self.environment, self.before, death, of_memory)
        return found


def first_ended(at_work: Sequence[RunAtWork], seconds: float | None) -> RunAtWork | None:
    """Waits until one of them has ended, and shows their progress meanwhile; None if `seconds` are over."""
    ended = isolation.first_ended([one.process for one in at_work], seconds)
    return next((one for one in at_work if one.process is ended), None)


def stop(at_work: Sequence[RunAtWork]) -> None:
    """Interrupts those that still run; they resume from their last checkpoints."""
    isolation.stop([one.process for one in at_work])


def record_death(
    case: AnyRun,
    store: ResultStore,
    environment: Environment,
    before: datetime | None,
    death: isolation.WorkerDied,
    of_memory: bool = False,
) -> Attempt:
    """Writes the record that a dead process could not write, unless another process has taken over the Run."""
    with locks.run_lock(store.folder(case.id)) as locked:
        record = newer_record(case, store, before)
        if record is not None or not locked:
            return Attempt(record, here=locked)  # a Run that nobody holds was finished by the process that died
        record = worker.blank(case, torch.device(environment.device))
        if of_memory and isinstance(case, ProfileRun):  # running out of memory is a result of a measurement
            measure.record_out_of_memory(case, record)
        else:
            record.status, record.error = "failed", str(death)
        store.write(record)
        return Attempt(record, True)


def newer_record(case: AnyRun, store: ResultStore, before: datetime | None) -> Record | None:
    """The record that was written since that which started at `before`, or since there was none."""
    record = store.read(case.id)
    return record if record is not None and record.started != before else None


def _died_at_its_limit(case: AnyRun, death: isolation.WorkerDied) -> bool:
    """Whether a CPU measurement died because its own limit refused it memory: oneDNN uses what it got unchecked."""
    limited = isinstance(case, ProfileRun) and case.device == "cpu" and case.memory_limit is not None
    return limited and death.signal in OUT_OF_MEMORY["cpu"]
