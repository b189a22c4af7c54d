"""What a person sees while something takes long: bars on a terminal, plain lines elsewhere, always the time left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from benchmarks.console import PlainTextColumn
from benchmarks.execution.heartbeat import Heartbeat
from results.values.text import visible

LINE_SECONDS = 60.0
"""Without a terminal, the longest time without a line within an epoch."""


class ProgressBars(Progress):
    """Bars on a terminal, each below its description, which may be as wide as the terminal; gone at the end of the
    context. Without a terminal only the printed lines are seen."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        super().__init__(
            BarColumn(bar_width=24),
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            refresh_per_second=4,
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from self.bars(self.tasks)

    def bars(self, tasks: Iterable[Task]) -> Iterator[RenderableType]:
        """Each below its description."""
        for task in tasks:
            if task.visible:
                yield Text(visible(task.description), no_wrap=False, overflow="fold")  # also while a note is printed
                yield self.make_tasks_table([task])

    def note(self, text: str) -> None:
        """Prints a line above the bars."""
        self.console.print(text, soft_wrap=True)


class PlanDisplay(ProgressBars):
    """Progress of a plan of `runs` Runs, `work` in trained images: a bar for each Run at work and one for the plan."""

    def __init__(self, console: Console, runs: int, work: float) -> None:
        super().__init__(console, PlainTextColumn("{task.fields[left]}"))
        self.runs, self.work = runs, work
        self.ended_runs = 0
        self.ended_work = self.ended_work_here = 0.0
        """Work of the Runs that have ended, and the part of it that this process did."""
        self.at_work: list[RunDisplay] = []
        self.started: float | None = None
        """Time of the first heartbeat: preparations before it say nothing about the rate."""
        self._plan = self.add_task(f"plan 0/{runs}", total=max(work, 1e-9), left="", visible=runs > 1)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from self.bars(sorted(self.tasks, key=lambda task: task.id == self._plan))  # the plan's comes last

    def run_begins(self, number: int, label: str) -> RunDisplay:
        """Shows one more Run, the `number`th of the plan."""
        shown = RunDisplay(self, f"[{number}/{self.runs}] {label}")
        self.at_work.append(shown)
        return shown

    def run_skipped(self) -> None:
        """Counts a Run that was done before."""
        self.ended_runs += 1
        self.update_plan()

    def time_left(self) -> str:
        """Until the end of the plan, at the rate so far."""
        beats = [one.heartbeat for one in self.at_work if one.heartbeat]
        done = self.ended_work + sum(beat.done for beat in beats)
        done_here = self.ended_work_here + sum(beat.done_here for beat in beats)
        if self.started is None or done_here <= 0:
            return format_time_left(None)
        return format_time_left((time.monotonic() - self.started) * max(self.work - done, 0) / done_here)

    def update_plan(self) -> None:
        """Moves the bar of the plan."""
        done = self.ended_work + sum(one.heartbeat.done for one in self.at_work if one.heartbeat)
        description = f"plan {self.ended_runs}/{self.runs}"
        self.update(self._plan, description=description, completed=done, left=self.time_left())


class RunDisplay:
    """What is shown of one Run, until it `ends` or `waits`."""

    def __init__(self, plan: PlanDisplay, label: str) -> None:
        self.plan, self.label = plan, label
        self.heartbeat: Heartbeat | None = None
        self._last_line = time.monotonic()
        self._bar = plan.add_task(label, total=1, left="")

    def on_message(self, message: Heartbeat | str) -> None:
        """Shows what the process that works on the Run has sent: a heartbeat or a note."""
        if isinstance(message, str):
            self.note(message)
            return
        plan = self.plan
        plan.started = plan.started or time.monotonic()
        new_epoch = message.epoch > (self.heartbeat.epoch if self.heartbeat else 0)
        self.heartbeat = message
        text = " · ".join([self.label, *format_heartbeat(message)])
        left = format_time_left(message.seconds_left)
        plan.update(self._bar, description=text, total=max(message.work, 1e-9), completed=message.done, left=left)
        plan.update_plan()
        overdue = message.loss is not None and time.monotonic() - self._last_line > LINE_SECONDS
        if not plan.console.is_terminal and (new_epoch or overdue):
            self._print(f"{text} · {plan.time_left()}")

    def note(self, text: str) -> None:
        """Prints a line about the Run."""
        self._print(f"{self.label}: {text}")

    def ends(self, outcome: str, work: float, here: bool = True) -> None:
        """Prints how the Run ended. All its `work` counts as done from now on, even if another process did it."""
        plan, beat = self.plan, self.heartbeat
        if here:
            plan.ended_work_here += beat.done_here if beat and beat.done_here else work
        plan.ended_work, plan.ended_runs = plan.ended_work + work, plan.ended_runs + 1
        self.waits(outcome)
        plan.update_plan()

    def waits(self, reason: str | None = None) -> None:
        """The Run's turn comes later, which `reason` explains."""
        self.plan.at_work.remove(self)
        self.plan.remove_task(self._bar)
        if reason:
            self.note(reason)

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.plan.note(text)


def format_heartbeat(heartbeat: Heartbeat) -> list[str]:
    """The parts of a line: phase, epoch, loss, accuracy, rate, memory, as far as they are known."""
    parts = [heartbeat.place] if heartbeat.place else []
    if heartbeat.epochs:
        parts.append(f"epoch {heartbeat.epoch}/{heartbeat.epochs}")
    if heartbeat.loss is not None:
        parts.append(f"loss {heartbeat.loss:.3f}")
    if heartbeat.test_top1 is not None:
        earlier = f" (epoch {heartbeat.test_epoch})" if heartbeat.test_epoch != heartbeat.epoch else ""
        parts.append(f"test {100 * heartbeat.test_top1:.1f} %{earlier}")
    if heartbeat.images_per_s is not None:
        parts.append(f"{heartbeat.images_per_s:.0f} images/s")
    if heartbeat.memory is not None:
        parts.append(f"{heartbeat.memory / 2**30:.1f} GiB")
    return parts


def format_time_left(seconds: float | None) -> str:
    """`1:01 left` (minutes and seconds), `5 h 7 min left`, `2 d 1 h left`, or that it is unknown."""
    if seconds is None:
        return "time left unknown"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} left"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min left" if hours < 24 else f"{hours // 24} d {hours % 24} h left"
