"""What a person sees while a plan runs: live lines on a terminal, plain lines elsewhere; always the time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks.execution.heartbeat import Heartbeat

LINE_SECONDS = 60.0
"""Where lines are plain: most seconds of an epoch without one."""


class Display:
    """Progress of a whole plan. `work` is what there is to do, in trained images; use it as a context manager."""

    def __init__(self, console: Console, runs: int, work: float) -> None:
        self.console, self.runs, self.work = console, runs, work
        self.finished = self.heard = 0.0
        """Work of the Runs that ended; what of it was done here."""
        self.ended = 0
        self.label = ""
        self.beat: Heartbeat | None = None
        self.started: float | None = None
        """When a Run was first heard of: what it takes to come that far says nothing of the rest."""
        self._last_line = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            refresh_per_second=4,
        )
        self._run = self.progress.add_task("", total=1, left="")
        self._plan = self.progress.add_task(f"plan 0/{runs}", total=max(work, 1e-9), left="", visible=runs > 1)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def run_begins(self, number: int, label: str) -> None:
        """Names the Run that is now on, the `number`th of the plan."""
        self.label, self.beat = f"[{number}/{self.runs}] {label}", None
        self.progress.reset(self._run, description=escape(self.label), total=1, left="")

    def run_ends(self, outcome: str, work: float, here: bool = True) -> None:
        """Says how the Run ended; all of its `work` counts as done from now on, also where it was not done `here`."""
        if here:
            self.heard += self.beat.heard if self.beat and self.beat.heard else work
        self.finished, self.ended, self.beat = self.finished + work, self.ended + 1, None
        self._show_plan()
        self._line(f"{self.label}: {outcome}")

    def run_skipped(self) -> None:
        """Counts a Run that was done before."""
        self.ended += 1
        self._show_plan()

    def hear(self, word: Heartbeat | str) -> None:
        """What the process that works on the Run tells: how far it is, or something in words."""
        if isinstance(word, str):
            self._line(f"{self.label}: {word}")
            return
        self.started = self.started or time.monotonic()
        new_epoch = word.epoch > (self.beat.epoch if self.beat else 0)
        self.beat = word
        text = " · ".join([self.label, *told(word)])
        left = time_left(word.seconds_left)
        self.progress.update(
            self._run, description=escape(text), total=max(word.work, 1e-9), completed=word.done, left=left
        )
        self._show_plan()
        late = word.loss is not None and time.monotonic() - self._last_line > LINE_SECONDS
        if not self.console.is_terminal and (new_epoch or late):
            self._line(f"{text} · {self.time_left()}")

    def time_left(self) -> str:
        """To the end of the plan, at the rate so far."""
        done = self.finished + (self.beat.done if self.beat else 0)
        heard = self.heard + (self.beat.heard if self.beat else 0)
        if self.started is None or heard <= 0:
            return time_left(None)
        return time_left((time.monotonic() - self.started) * max(self.work - done, 0) / heard)

    def _show_plan(self) -> None:
        done = self.finished + (self.beat.done if self.beat else 0)
        self.progress.update(
            self._plan, description=f"plan {self.ended}/{self.runs}", completed=done, left=self.time_left()
        )

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(escape(text), highlight=False, soft_wrap=True)


def told(beat: Heartbeat) -> list[str]:
    """A heartbeat in a few words each, for a line."""
    words = []
    if beat.epochs:
        words.append(f"epoch {beat.epoch}/{beat.epochs}")
    if beat.loss is not None:
        words.append(f"loss {beat.loss:.3f}")
    if beat.test_top1 is not None:
        earlier = f" (epoch {beat.test_epoch})" if beat.test_epoch != beat.epoch else ""
        words.append(f"test {100 * beat.test_top1:.1f} %{earlier}")
    if beat.images_per_s is not None:
        words.append(f"{beat.images_per_s:.0f} images/s")
    if beat.memory is not None:
        words.append(f"{beat.memory / 2**30:.1f} GiB")
    return words


def time_left(seconds: float | None) -> str:
    """Minutes and seconds, or days and hours, in words."""
    if seconds is None:
        return "time left unknown"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 600:
        return f"{minutes}:{rest:02d} left"
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h left"
