"""Carries out a plan: what is done stays done, what fails is recorded, the others go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError
from rich.console import Console

from benchmarks import hardware, isolation
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED
from benchmarks.execution import heartbeat, locks, torchrun, worker
from benchmarks.execution.display import Display, time_left
from benchmarks.execution.time_budget import Budget, Pace, TimeIsUp
from benchmarks.execution.worker import Attempt, CarryOut, blank, work_of
from benchmarks.planning import batch_sweep
from benchmarks.profiling import measure
from benchmarks.profiling.max_batch import OUT_OF_MEMORY
from results.record import Record
from results.settings import AnyRun, ProfileRun, as_run
from results.store import REFERENCE, ResultStore

__all__ = ["Summary", "execute"]

WAIT_SECONDS = 2.0
"""Between two looks at Runs that another process works on."""


@dataclass
class Summary:
    """What became of a plan's Runs, by their ids."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Done before."""
    elsewhere: list[str] = field(default_factory=list)
    """Done meanwhile by another process on the same results."""
    failed: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    """Of a sweep over batch sizes that ended before them."""
    left: list[str] = field(default_factory=list)
    """Not done when the time was up."""


def execute(
    plan: Sequence[AnyRun],
    store: ResultStore,
    environment: Environment,
    console: Console,
    own_process: bool = False,
    carry_out: CarryOut = worker.carry_out,
    budget: Budget | None = None,
) -> Summary:
    """Runs what has no finished record yet, one after another; with `own_process`, each in a process of its own.
    Where torchrun started several processes, this is for the first, and `team.follow` for the others.

    With a `budget`, what would take longer than the time left is put off until nothing else is left; when the time is
    up, the Run that is on is interrupted like by Ctrl-C and the plan ends.

    A Run that raises or dies is recorded as failed and the next one begins; one that another process works on is left
    to it, and waited for at the end. A folder that can't be written stops the plan (`ResultsError`), and so does
    Ctrl-C: what was finished stays, and the Run that was on goes on from its last checkpoint.
    """
    store.prepare()
    known = store.records()  # one that can't be read is said now, not after hours of training
    pace = _pace_of(known, environment) if budget else Pace()
    course = PlanExecutor(plan, store, environment, own_process, carry_out, budget, pace)
    work = sum(course.work.values())
    with Display(console, len(plan), work) as display, budget.kept() if budget else nullcontext():
        try:
            course.follow(display)
        except TimeIsUp:
            course.summary.left = course.not_done()
    store.index()
    return course.summary


class PlanExecutor:
    """A plan on its way. Runs of one plan may be done by several processes; each keeps its own course."""

    def __init__(
        self,
        plan: Sequence[AnyRun],
        store: ResultStore,
        environment: Environment,
        own_process: bool,
        carry_out: CarryOut,
        budget: Budget | None,
        pace: Pace,
    ) -> None:
        self.plan, self.store, self.environment = plan, store, environment
        self.own_process, self.carry_out = own_process, carry_out
        self.budget, self.pace = budget, pace
        self.before = {case.id: store.read(case.id) for case in plan}
        self.work = {case.id: 0.0 if self._was_done(case) else work_of(case, environment) for case in plan}
        self.summary = Summary()
        self.left: set[str] = set()
        """Found in other hands."""
        self.put_off: set[str] = set()
        """Found to take longer than there is time."""

    def follow(self, display: Display) -> None:
        """Goes through the plan until every Run has ended, here or elsewhere."""
        to_do = []
        for number, case in enumerate(self.plan, start=1):
            if self._was_done(case):
                self.summary.skipped.append(case.id)
                display.run_skipped()
            else:
                to_do.append((number, case))
        while to_do:
            left = [one for one in to_do if not self._go_to(*one, display)]
            if len(left) == len(to_do):
                torchrun.say("wait", self.environment)
                time.sleep(WAIT_SECONDS)
            to_do = left
        torchrun.say(None, self.environment)

    def not_done(self) -> list[str]:
        """The Runs that have not ended, in the order of the plan."""
        return [case.id for case in self._open()]

    def _open(self) -> Iterator[AnyRun]:
        lists = self.summary
        ended = {*lists.done, *lists.skipped, *lists.elsewhere, *lists.failed, *lists.needless}
        yield from (case for case in self.plan if case.id not in ended)

    def _was_done(self, case: AnyRun) -> bool:
        known = self.before[case.id]
        return known is not None and known.status == "done"

    def _go_to(self, number: int, case: AnyRun, display: Display) -> bool:
        """Does a Run, or sees that another process has; False if one is at it or it is put off, which is said once."""
        if self._puts_off(number, case, display) or batch_sweep.waits(case, self._open()):
            return False
        ended = self._ended_elsewhere(case)
        if ended is None and (reason := self._end_of_sweep(case)):
            self.summary.needless.append(case.id)
            display.run_begins(number, case.label)
            display.run_ends(f"left out: {reason}", self.work[case.id], here=False)
            return True
        if ended is None and locks.held(self.store.folder(case.id)):
            if case.id not in self.left:
                self.left.add(case.id)
                display.run_begins(number, case.label)
                display.hear(f"left to {_owner(self.store.folder(case.id))}")
            return False
        display.run_begins(number, case.label)
        record, here = (ended, False) if ended else self._attempt(case, display)
        if record is None:
            return False
        lists = self.summary
        (lists.failed if record.status == "failed" else lists.done if here else lists.elsewhere).append(case.id)
        if record.status == "done" and here:
            self.pace.learn(case, self.work[case.id], record.seconds)
        display.run_ends(("" if here else "by another process: ") + _outcome(record), self.work[case.id], here)
        return True

    def _puts_off(self, number: int, case: AnyRun, display: Display) -> bool:
        """Whether a Run would not end in time: others come before it, once."""
        if self.budget is None or case.id in self.put_off:
            return False
        beat = heartbeat.read(self.store.root / case.id)  # of one that was interrupted: what is done of it stays done
        expected = self.pace.seconds(case, self.work[case.id] * (beat.share_left if beat else 1.0))
        if expected is None or expected < self.budget.left:
            return False
        self.put_off.add(case.id)
        display.run_begins(number, case.label)
        display.hear(f"put off, it takes about {expected / 60:.0f} min; {time_left(self.budget.left)}")
        return True

    def _ended_elsewhere(self, case: AnyRun) -> Record | None:
        """The record that another process has written since this course began."""
        known, before = self.store.read(case.id), self.before[case.id]
        return known if known is not None and (before is None or known.started != before.started) else None

    def _end_of_sweep(self, case: AnyRun) -> str | None:
        """Why a batch size need not be measured; None: it has to be."""
        committed = ResultStore(self.store.root / REFERENCE)
        return batch_sweep.end(case, lambda smaller: self.store.read(smaller.id) or committed.read(smaller.id))

    def _attempt(self, case: AnyRun, display: Display) -> Attempt:
        known = self.before[case.id]
        before = known.started if known else None
        arguments = (case, self.store.root, self.environment, before, self.carry_out)
        measured = isinstance(case, ProfileRun)  # always apart, so that its memory is its own
        if not self.own_process and not measured:
            return worker.attempt(*arguments, display.hear)
        if measured and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the other process shall find the whole device
        kills = hardware.memory_kills()
        try:
            found: Attempt = isolation.call(worker.attempt, *arguments, hear=display.hear)
        except isolation.WorkerDied as death:
            killed = death.signal == signal.SIGKILL and hardware.memory_kills() > kills
            return self._record_death(case, death, killed or _died_at_its_limit(case, death))
        return found

    def _record_death(self, case: AnyRun, death: isolation.WorkerDied, of_memory: bool) -> Attempt:
        """The record that the dead process could not write, unless another process is at the Run already."""
        with locks.claim(self.store.folder(case.id)) as ours:
            ended = self._ended_elsewhere(case)
            if ended is not None or not ours:
                return Attempt(ended, False)
            record = blank(case, torch.device(self.environment.device))
            if of_memory and isinstance(case, ProfileRun):  # which is a result
                measure.killed(case, record)
            else:
                record.status, record.error = "failed", str(death)
            self.store.write(record)
            return Attempt(record, True)


def _died_at_its_limit(case: AnyRun, death: isolation.WorkerDied) -> bool:
    """Whether a CPU's measurement was refused memory by its own limit, and used what it was not given: oneDNN does."""
    limited = isinstance(case, ProfileRun) and case.device == "cpu" and case.memory_limit is not None
    return limited and death.signal in OUT_OF_MEMORY["cpu"]


def _pace_of(records: Iterable[Record], environment: Environment) -> Pace:
    """What is known of this device from earlier trainings."""
    pace, device = Pace(), hardware.device_name(torch.device(environment.device))
    for record in records:
        if record.status == "done" and record.run.get("job") == "train" and record.hardware.get("name") == device:
            with suppress(ValidationError, *REFUSED):  # of other code, or of data that are not here
                case = as_run(record.run)
                pace.learn(case, work_of(case, environment), record.seconds)
    return pace


def _owner(folder: Path) -> str:
    beat = heartbeat.read(folder)
    return f"{beat.owner}, which is working on it" if beat else "another process, which is working on it"


def _outcome(record: Record) -> str:
    """A Run's end in a few words."""
    if record.status == "failed":
        more = " (its traceback is in record.json)" if record.traceback else ""
        return f"failed: {record.error}{more}"
    if record.metrics:
        last = record.metrics["last"]
        return f"top-1 {100 * last.top1:.1f} % after epoch {last.epoch}, {record.seconds:.0f} s"
    told = [f"{mode} {speed.images_per_s:.0f} images/s" for mode, speed in record.speed.items()]
    told += [f"{mode} needs more than {room / 2**30:.1f} GiB" for mode, room in record.exceeded.items()]
    return ", ".join(told)
