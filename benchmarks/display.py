"""What a person sees while a plan runs: a live line on a terminal, plain lines elsewhere; always the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

EVALUATION_COST = 1 / 3
"""Work of a forward pass against forward, backward and step: what the time left is reckoned with."""


class Listener(Protocol):
    """Hears of a Run's progress."""

    def trained(self, images: int) -> None: ...
    def evaluated(self, images: int) -> None: ...
    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...
    def note(self, text: str) -> None: ...


class Silent:
    """A listener that says nothing."""

    def trained(self, images: int) -> None: ...
    def evaluated(self, images: int) -> None: ...
    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...
    def note(self, text: str) -> None: ...


class Display:
    """Progress of a whole plan. `work` is what there is to do, in trained images; use it as a context manager."""

    def __init__(self, console: Console, runs: int, work: float) -> None:
        self.console, self.runs, self.work = console, runs, work
        self.done = 0.0
        self.run_number = 0
        self.label = ""
        self.started = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            refresh_per_second=4,
        )
        self.task = self.progress.add_task("", total=max(work, 1e-9), left="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def run_begins(self, label: str) -> None:
        """Names the Run that is now on."""
        self.run_number += 1
        self.label = f"[{self.run_number}/{self.runs}] {label}"
        self.progress.update(self.task, description=escape(self.label))

    def run_ends(self, outcome: str, work: float, finished_before: float) -> None:
        """Says how the Run ended; whatever of its `work` was not heard of counts as done."""
        self._advance(max(finished_before + work - self.done, 0))
        self.console.print(f"{escape(self.label)}: {escape(outcome)}", highlight=False, soft_wrap=True)

    def trained(self, images: int) -> None:
        self._advance(images)

    def evaluated(self, images: int) -> None:
        self._advance(images * EVALUATION_COST)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        test = row.get("test_top1")
        accuracy = "" if test is None else f" · test {100 * test:.1f} %"
        text = (
            f"{self.label} · epoch {row['epoch']}/{epochs} · loss {row['loss']:.3f}{accuracy}"
            f" · {row['images_per_s']:.0f} images/s"
        )
        self.progress.update(self.task, description=escape(text))
        if not self.console.is_terminal:
            self.console.print(f"{escape(text)} · {self.time_left()}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(f"{escape(self.label)}: {escape(text)}", highlight=False, soft_wrap=True)

    def time_left(self) -> str:
        """Minutes and seconds to the end of the plan at the rate so far."""
        if self.done <= 0:
            return "time left unknown"
        seconds = (time.monotonic() - self.started) * max(self.work - self.done, 0) / self.done
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"

    def _advance(self, work: float) -> None:
        self.done += work
        self.progress.update(self.task, completed=self.done, left=self.time_left())
