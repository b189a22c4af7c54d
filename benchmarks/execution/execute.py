"""Carries out a plan: finished Runs are kept, and failed ones are recorded and don't stop it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import hardware, isolation
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import heartbeat, locks, torchrun, worker
from benchmarks.execution.display import PlanDisplay, format_time_left
from benchmarks.execution.time_budget import TimeBudget, TimeIsUp
from benchmarks.execution.worker import Attempt, CarryOut, blank, work_of
from benchmarks.planning import batch_sweep
from benchmarks.profiling import measure
from benchmarks.profiling.max_batch import OUT_OF_MEMORY
from benchmarks.training import checkpoint
from results.errors import ResultsError
from results.record import Estimate, Record
from results.settings import AnyRun, ProfileRun
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT, PREVIOUS_RECORD, REFERENCE, ResultStore

__all__ = ["Summary", "execute"]

POLL_SECONDS = 2.0
"""Seconds between two checks of Runs that other processes work on."""


@dataclass
class Summary:
    """What became of a plan's Runs, by their ids."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Done before."""
    elsewhere: list[str] = field(default_factory=list)
    """Done meanwhile by another process on the same results."""
    failed: list[str] = field(default_factory=list)
    not_needed: list[str] = field(default_factory=list)
    """Batch sizes beyond the end of their sweep."""
    unfinished: list[str] = field(default_factory=list)
    """Not done when the time was up."""


def execute(
    plan: Sequence[AnyRun],
    store: ResultStore,
    environment: Environment,
    console: Console,
    own_process: bool = False,
    carry_out: CarryOut = worker.carry_out,
    budget: TimeBudget | None = None,
    estimator: Estimator | None = None,
) -> Summary:
    """Carries out all Runs that have no finished record, one after another; with `own_process`, each in a process of
    its own. Under torchrun this is for rank 0; the other ranks call `torchrun.follow_rank0`.

    With a `budget`, Runs that would take longer than the time left, as the `estimator` says, are postponed until no
    others are left. When the time is up, the current Run is interrupted as by Ctrl-C, and the plan ends. Each Run's
    record gets its estimate.

    A Run that raises or dies is recorded as failed. A Run that another process works on is left to it, and waited for
    at the end. Ctrl-C stops the plan, and so does a folder that can't be written (`ResultsError`): finished Runs are
    kept, and the current one resumes from its last checkpoint the next time.
    """
    store.prepare()
    _remove_what_kills_left(store)
    executor = PlanExecutor(plan, store, environment, own_process, carry_out, budget, estimator)
    with (
        PlanDisplay(console, len(plan), sum(executor.work.values())) as display,
        budget.enforced() if budget else nullcontext(),
    ):
        try:
            executor.run(display)
        except TimeIsUp:
            executor.summary.unfinished = [case.id for case in executor.open_runs()]
    store.index()
    return executor.summary


def _remove_what_kills_left(store: ResultStore) -> None:
    """Files of Runs that were killed after their record was written, and before they had removed them."""
    names = (CHECKPOINT, PREVIOUS_CHECKPOINT, PREVIOUS_RECORD, heartbeat.FILE)
    found = {path.parent for name in names for path in store.root.glob(f"*/{name}")}
    for folder in (one for one in found if not one.is_symlink()):  # a lock would be made behind the link
        with suppress(ResultsError), locks.run_lock(folder) as locked:  # those of other plans don't stop this one
            record = store.read(folder.name) if locked else None
            if record is not None and record.status == "done":
                checkpoint.discard(folder)
                for name in (PREVIOUS_RECORD, heartbeat.FILE):
                    (folder / name).unlink(missing_ok=True)


class PlanExecutor:
    """One process's way through a plan. Several processes may share the plan; each has its own executor."""

    def __init__(
        self,
        plan: Sequence[AnyRun],
        store: ResultStore,
        environment: Environment,
        own_process: bool,
        carry_out: CarryOut,
        budget: TimeBudget | None,
        estimator: Estimator | None,
    ) -> None:
        self.plan, self.store, self.environment = plan, store, environment
        self.own_process, self.carry_out = own_process, carry_out
        self.budget, self.estimator = budget, estimator
        # A record of the plan that can't be read or trusted is reported now, not after hours of training.
        self.records_before = {case.id: store.read(case.id) for case in plan}
        self.done_before = {case.id for case in plan if store.answer(case) is not None}
        self.work = {case.id: 0.0 if case.id in self.done_before else work_of(case, environment) for case in plan}
        self.summary = Summary()
        self.locked: set[str] = set()
        """Runs that were found locked by another process."""
        self.postponed: set[str] = set()
        """Runs that were found to take longer than the time left."""

    def run(self, display: PlanDisplay) -> None:
        """Goes through the plan, again and again, until every Run has ended, here or in another process."""
        to_do = []
        for number, case in enumerate(self.plan, start=1):
            if case.id in self.done_before:
                self.summary.skipped.append(case.id)
                display.run_skipped()
            else:
                to_do.append((number, case))
        while to_do:
            remaining = [(number, case) for number, case in to_do if not self._try(number, case, display)]
            if len(remaining) == len(to_do):
                torchrun.broadcast_next("wait", self.environment)
                time.sleep(POLL_SECONDS)
            to_do = remaining
        torchrun.broadcast_next(None, self.environment)

    def open_runs(self) -> list[AnyRun]:
        """The Runs that have not ended, in the order of the plan."""
        lists = self.summary
        ended = {*lists.done, *lists.skipped, *lists.elsewhere, *lists.failed, *lists.not_needed}
        return [case for case in self.plan if case.id not in ended]

    def _try(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Carries out a Run, or notes that another process has; False if its turn has not come yet."""
        if self._postpone(number, case, display) or batch_sweep.waits(case, self.open_runs()):
            return False
        record, here = self._record_of_another_process(case), False
        if record is None:
            if reason := self._why_not_needed(case):
                self.summary.not_needed.append(case.id)
                display.run_begins(number, case.label)
                display.run_ends(f"not needed: {reason}", self.work[case.id], here=False)
                return True
            if self._is_locked(number, case, display):
                return False
        display.run_begins(number, case.label)
        if record is None:
            record, here = self._attempt(case, display)
            if record is None:
                return False
        self._note_end(case, record, here, display)
        return True

    def _postpone(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Whether a Run would not end in time; each Run is postponed once."""
        if self.budget is None or case.id in self.postponed or (estimate := self._estimate(case)) is None:
            return False
        interrupted = heartbeat.read(self.store.root / case.id)
        seconds = estimate.seconds * (interrupted.share_left if interrupted else 1.0)
        if seconds < self.budget.left:
            return False
        self.postponed.add(case.id)
        display.run_begins(number, case.label)
        display.run_note(f"postponed: it takes about {seconds / 60:.0f} min; {format_time_left(self.budget.left)}")
        return True

    def _estimate(self, case: AnyRun) -> Estimate | None:
        """How long the Run takes as a whole; None where nobody can tell."""
        if self.estimator is None:
            return None
        with suppress(*REFUSED):  # the Run itself will meet this error, and record it
            return self.estimator.of(case)
        return None

    def _record_of_another_process(self, case: AnyRun) -> Record | None:
        """The record that another process has written since this executor was created."""
        record, before = self.store.read(case.id), self.records_before[case.id]
        return record if record is not None and (before is None or record.started != before.started) else None

    def _why_not_needed(self, case: AnyRun) -> str | None:
        """Why a batch size of a sweep need not be measured; None if it must be, or if the Run belongs to no sweep."""
        committed = ResultStore(self.store.root / REFERENCE)
        return batch_sweep.end(case, lambda smaller: self.store.read(smaller.id) or committed.read(smaller.id))

    def _is_locked(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Whether another process works on the Run; the first time, a line says which."""
        folder = self.store.folder(case.id)
        if not locks.is_locked(folder):
            return False
        if case.id not in self.locked:
            self.locked.add(case.id)
            display.run_begins(number, case.label)
            display.run_note(f"left to {_owner(folder)}, which is working on it")
        return True

    def _note_end(self, case: AnyRun, record: Record, here: bool, display: PlanDisplay) -> None:
        lists = self.summary
        (lists.failed if record.status == "failed" else lists.done if here else lists.elsewhere).append(case.id)
        if self.estimator is not None and here:
            self.estimator.add(record)
        outcome = ("" if here else "by another process: ") + format_outcome(record)
        display.run_ends(outcome, self.work[case.id], here)

    def _attempt(self, case: AnyRun, display: PlanDisplay) -> Attempt:
        before = self.records_before[case.id]
        started = before.started if before else None
        estimate = self._estimate(case)
        carry_out = partial(self.carry_out, estimate=estimate) if estimate else self.carry_out
        arguments = (case, self.store.root, self.environment, started, carry_out)
        measured = isinstance(case, ProfileRun)  # always in its own process, to measure its memory alone
        if not self.own_process and not measured:
            return worker.attempt(*arguments, display.on_message)
        if measured and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # so that the other process finds the whole device free
        kills = hardware.memory_kills()
        try:
            attempt: Attempt = isolation.run_isolated(worker.attempt, *arguments, on_message=display.on_message)
        except isolation.WorkerDied as death:
            if death.signal == signal.SIGTERM and heartbeat.JOB_VARIABLE in os.environ:
                raise KeyboardInterrupt from None  # Slurm asks every process of a job to end
            killed = death.signal == signal.SIGKILL and hardware.memory_kills() > kills
            return self._record_death(case, death, killed or _died_at_its_limit(case, death))
        return attempt

    def _record_death(self, case: AnyRun, death: isolation.WorkerDied, of_memory: bool) -> Attempt:
        """Writes the record that the dead process could not write, unless another process has taken over the Run."""
        with locks.run_lock(self.store.folder(case.id)) as locked:
            record = self._record_of_another_process(case)
            if record is not None or not locked:
                return Attempt(record, here=locked)  # a Run that nobody holds was finished by the process that died
            record = blank(case, torch.device(self.environment.device))
            if of_memory and isinstance(case, ProfileRun):  # running out of memory is a result of a measurement
                measure.record_out_of_memory(case, record)
            else:
                record.status, record.error = "failed", str(death)
            self.store.write(record)
            return Attempt(record, True)


def _died_at_its_limit(case: AnyRun, death: isolation.WorkerDied) -> bool:
    """Whether a CPU measurement died because its own limit refused it memory: oneDNN uses what it got unchecked."""
    limited = isinstance(case, ProfileRun) and case.device == "cpu" and case.memory_limit is not None
    return limited and death.signal in OUT_OF_MEMORY["cpu"]


def _owner(folder: Path) -> str:
    beat = heartbeat.read(folder)
    return beat.owner if beat else "another process"


def format_outcome(record: Record) -> str:
    """How a Run ended, for a line."""
    if record.status == "failed":
        more = " (its traceback is in record.json)" if record.traceback else ""
        return f"failed: {record.error}{more}"
    if record.metrics:
        last = record.metrics["last"]
        return f"top-1 {100 * last.top1:.1f} % after epoch {last.epoch}, {record.seconds:.0f} s"
    parts = [f"{mode} {speed.images_per_s:.0f} images/s" for mode, speed in record.speed.items()]
    parts += [f"{mode} needs more than {room / 2**30:.1f} GiB" for mode, room in record.exceeded.items()]
    return ", ".join(parts)
