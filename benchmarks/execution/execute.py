"""Carries out a plan: finished Runs are kept, and failed ones are recorded and don't stop it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import isolation
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import at_work, heartbeat, locks, torchrun, worker
from benchmarks.execution.at_work import RunAtWork
from benchmarks.execution.display import PlanDisplay, RunDisplay, format_time_left
from benchmarks.execution.image_holder import ImageHolder
from benchmarks.execution.time_budget import TimeBudget, TimeIsUp
from benchmarks.execution.worker import Attempt, CarryOut, work_of
from benchmarks.planning import batch_sweep, left_to_do
from benchmarks.training.checkpoints import checkpoint
from results.errors import ResultsError
from results.record import Estimate, Record
from results.settings import AnyRun, ProfileRun, Run
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT, PREVIOUS_RECORD, ResultStore

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
    """Carries out all Runs that have no finished record, with `own_process` each in a process of its own; then as many
    at a time as `environment.execution.parallel` says, but never another one beside a measurement. Under torchrun this
    is for rank 0; the other ranks call `torchrun.follow_rank0`.

    With a `budget`, Runs that would take longer than the time left, as the `estimator` says, are postponed until no
    others are left. When the time is up, the Runs at work are interrupted as by Ctrl-C, and the plan ends. Each Run's
    record gets its estimate.

    A Run that raises or dies is recorded as failed. A Run that another process works on is left to it, and waited for
    at the end. Ctrl-C stops the plan, and so does a folder that can't be written (`ResultsError`): finished Runs are
    kept, and those at work resume from their last checkpoints the next time.
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
        self.plan, self.store = plan, store
        self.own_process, self.carry_out = own_process, carry_out
        self.budget, self.estimator = budget, estimator
        # A record of the plan that can't be read or trusted is reported now, not after hours of training.
        self.records_before = {case.id: store.read(case.id) for case in plan}
        self.done_before = {case.id for case in plan if store.answer(case) is not None}
        self.work = {case.id: 0.0 if case.id in self.done_before else work_of(case, environment) for case in plan}
        to_do = [case for case in plan if case.id not in self.done_before]
        self.places = places(environment, to_do, own_process)
        self.environment = replace(environment, execution=replace(environment.execution, parallel=self.places))
        self.images = ImageHolder(to_do if own_process else [], self.environment)
        self.summary = Summary()
        self.at_work: list[RunAtWork] = []
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
        try:
            while to_do or self.at_work:
                remaining = [(number, case) for number, case in to_do if not self._try(number, case, display)]
                if self.at_work:
                    remaining += self._await_one(bool(remaining))
                elif len(remaining) == len(to_do):
                    torchrun.broadcast_next("wait", self.environment)
                    time.sleep(POLL_SECONDS)
                # Runs that found no place were not asked yet whether they fit: postponed ones let them pass.
                to_do = sorted(remaining, key=lambda one: (one[1].id in self.postponed, one[0]))
        finally:
            at_work.stop(self.at_work)
            self.images.close()
        torchrun.broadcast_next(None, self.environment)

    def open_runs(self) -> list[AnyRun]:
        """The Runs that have not ended, in the order of the plan."""
        lists = self.summary
        ended = {*lists.done, *lists.skipped, *lists.elsewhere, *lists.failed, *lists.not_needed}
        return [case for case in self.plan if case.id not in ended]

    def _try(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Begins a Run, or notes that another process has done it; False if its turn has not come yet."""
        if not self._has_place(case) or self._postpone(number, case, display):
            return False
        if batch_sweep.waits(case, self.open_runs()):
            return False
        record = at_work.newer_record(case, self.store, self._started_before(case))
        if record is None:
            if reason := self._why_not_needed(case):
                self.summary.not_needed.append(case.id)
                display.run_begins(number, case.label).ends(f"not needed: {reason}", self.work[case.id], here=False)
                return True
            if self._is_locked(number, case, display):
                return False
        shown = display.run_begins(number, case.label)
        if record is not None:
            return self._note_end(case, Attempt(record, here=False), shown)
        return self._begin(number, case, shown)

    def _has_place(self, case: AnyRun) -> bool:
        """Whether there is a place for one more Run. A measurement has the device alone."""
        alone = isinstance(case, ProfileRun) or any(isinstance(one.case, ProfileRun) for one in self.at_work)
        return len(self.at_work) < (1 if alone else self.places)

    def _await_one(self, others: bool) -> list[tuple[int, AnyRun]]:
        """Waits until a Run at work has ended, or until it is time to look after `others`, which may have been left to
        other processes. Returns the Run if it is to be tried again."""
        ended = at_work.first_ended(self.at_work, POLL_SECONDS if others and len(self.at_work) < self.places else None)
        if ended is None:
            return []
        attempt = ended.attempt()
        self.at_work.remove(ended)
        at_work.stop([ended])
        return [] if self._note_end(ended.case, attempt, ended.display) else [(ended.number, ended.case)]

    def _postpone(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Whether a Run would not end in time; each Run is postponed once."""
        if self.budget is None or case.id in self.postponed or (estimate := self._estimate(case)) is None:
            return False
        interrupted = heartbeat.read(self.store.root / case.id)
        seconds = estimate.seconds * (interrupted.share_left if interrupted else 1.0)
        if seconds < self.budget.left:
            return False
        self.postponed.add(case.id)
        reason = f"it takes about {seconds / 60:.0f} min; {format_time_left(self.budget.left)}"
        display.run_begins(number, case.label).waits(f"postponed: {reason}")
        return True

    def _estimate(self, case: AnyRun) -> Estimate | None:
        """How long the Run takes as a whole; None where nobody can tell."""
        if self.estimator is None:
            return None
        with suppress(*REFUSED):  # the Run itself will meet this error, and record it
            return self.estimator.of(case)
        return None

    def _started_before(self, case: AnyRun) -> datetime | None:
        """The start of the record that the Run had when this executor was created."""
        before = self.records_before[case.id]
        return before.started if before else None

    def _why_not_needed(self, case: AnyRun) -> str | None:
        """Why a batch size of a sweep need not be measured; None if it must be, or if the Run belongs to no sweep."""
        return batch_sweep.end(case, partial(left_to_do.of_sweep, self.store))

    def _is_locked(self, number: int, case: AnyRun, display: PlanDisplay) -> bool:
        """Whether another process works on the Run; the first time, a line says which."""
        folder = self.store.folder(case.id)
        if not locks.is_locked(folder):
            return False
        if case.id not in self.locked:
            self.locked.add(case.id)
            display.run_begins(number, case.label).waits(f"left to {_owner(folder)}, which is working on it")
        return True

    def _note_end(self, case: AnyRun, attempt: Attempt, shown: RunDisplay) -> bool:
        """Notes what came of a Run; False if another process has taken it over."""
        record, here = attempt
        if record is None:
            shown.waits()
            return False
        lists = self.summary
        (lists.failed if record.status == "failed" else lists.done if here else lists.elsewhere).append(case.id)
        if self.estimator is not None and here:
            self.estimator.add(record)
        outcome = ("" if here else "by another process: ") + format_outcome(record)
        shown.ends(outcome, self.work[case.id], here)
        return True

    def _begin(self, number: int, case: AnyRun, shown: RunDisplay) -> bool:
        """Carries the Run out in this process, or begins it in one of its own; False if another has taken it over."""
        before, estimate = self._started_before(case), self._estimate(case)
        carry_out = partial(self.carry_out, estimate=estimate) if estimate else self.carry_out
        measured = isinstance(case, ProfileRun)  # always in its own process, to measure its memory alone
        if not self.own_process and not measured:
            arguments = (case, self.store.root, self.environment, before, carry_out)
            return self._note_end(case, worker.attempt(*arguments, shown.on_message), shown)
        if measured and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # so that the other process finds the whole device free
        try:
            environment = self.images.environment_of(case, shown.note)
            begun = RunAtWork(number, case, self.store, environment, before, carry_out, shown)
        except isolation.WorkerDied as death:
            attempt = at_work.record_death(case, self.store, self.environment, before, death)
            return self._note_end(case, attempt, shown)
        self.at_work.append(begun)
        return True


def places(environment: Environment, to_do: Sequence[AnyRun], own_process: bool) -> int:
    """How many Runs are carried out at a time: no more than there are trainings, which alone share a device."""
    trainings = sum(isinstance(case, Run) for case in to_do)
    return max(min(environment.execution.parallel, trainings), 1) if own_process else 1


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
