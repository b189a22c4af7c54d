"""What a person sees while something takes long: bars on a terminal, plain lines elsewhere, always the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn
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
        for task in self.tasks:
            if task.visible:
                yield Text(visible(task.description), no_wrap=False, overflow="fold")  # also while a note is printed
                yield self.make_tasks_table([task])

    def note(self, text: str) -> None:
        """Prints a line above the bars."""
        self.console.print(text, soft_wrap=True)


class PlanDisplay(ProgressBars):
    """Progress of a plan of `runs` Runs, `work` in trained images: a bar for the current Run and one for the plan."""

    def __init__(self, console: Console, runs: int, work: float) -> None:
        super().__init__(console, PlainTextColumn("{task.fields[left]}"))
        self.runs, self.work = runs, work
        self.ended_runs = 0
        self.ended_work = self.ended_work_here = 0.0
        """Work of the Runs that have ended, and the part of it that this process did."""
        self.label = ""
        self.heartbeat: Heartbeat | None = None
        self.started: float | None = None
        """Time of the first heartbeat: preparations before it say nothing about the rate."""
        self._last_line = time.monotonic()
        self._run = self.add_task("", total=1, left="")
        self._plan = self.add_task(f"plan 0/{runs}", total=max(work, 1e-9), left="", visible=runs > 1)

    def run_begins(self, number: int, label: str) -> None:
        """Names the current Run, the `number`th of the plan."""
        self.label, self.heartbeat = f"[{number}/{self.runs}] {label}", None
        self.reset(self._run, description=self.label, total=1, left="")

    def run_ends(self, outcome: str, work: float, here: bool = True) -> None:
        """Prints how the Run ended. All its `work` counts as done from now on, even if another process did it."""
        if here:
            self.ended_work_here += self.heartbeat.done_here if self.heartbeat and self.heartbeat.done_here else work
        self.ended_work, self.ended_runs, self.heartbeat = self.ended_work + work, self.ended_runs + 1, None
        self._update_plan()
        self.run_note(outcome)

    def run_skipped(self) -> None:
        """Counts a Run that was done before."""
        self.ended_runs += 1
        self._update_plan()

    def run_note(self, text: str) -> None:
        """Prints a line about the current Run."""
        self._print(f"{self.label}: {text}")

    def on_message(self, message: Heartbeat | str) -> None:
        """Shows what the process that works on the Run has sent: a heartbeat or a note."""
        if isinstance(message, str):
            self.run_note(message)
            return
        self.started = self.started or time.monotonic()
        new_epoch = message.epoch > (self.heartbeat.epoch if self.heartbeat else 0)
        self.heartbeat = message
        text = " · ".join([self.label, *format_heartbeat(message)])
        left = format_time_left(message.seconds_left)
        self.update(self._run, description=text, total=max(message.work, 1e-9), completed=message.done, left=left)
        self._update_plan()
        overdue = message.loss is not None and time.monotonic() - self._last_line > LINE_SECONDS
        if not self.console.is_terminal and (new_epoch or overdue):
            self._print(f"{text} · {self.time_left()}")

    def time_left(self) -> str:
        """Until the end of the plan, at the rate so far."""
        done, done_here = self.ended_work, self.ended_work_here
        if self.heartbeat:
            done, done_here = done + self.heartbeat.done, done_here + self.heartbeat.done_here
        if self.started is None or done_here <= 0:
            return format_time_left(None)
        return format_time_left((time.monotonic() - self.started) * max(self.work - done, 0) / done_here)

    def _update_plan(self) -> None:
        done = self.ended_work + (self.heartbeat.done if self.heartbeat else 0)
        description = f"plan {self.ended_runs}/{self.runs}"
        self.update(self._plan, description=description, completed=done, left=self.time_left())

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.note(text)


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
