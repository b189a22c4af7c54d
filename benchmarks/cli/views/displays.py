"""Progress bars of the `data` verbs."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from benchmarks.execution.display import ProgressBars, format_time_left

LINE_IMAGES = 500
"""Without a terminal, images from one line to the next."""


class FetchDisplay(ProgressBars):
    """Shows a download: a line for each event, and on a terminal a bar with rate and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Updates the bar of `what`, which replaces the bar of anything else."""
        if not self.tasks or self.tasks[-1].description != what:
            for task in self.task_ids:
                self.remove_task(task)
            # Bytes of an earlier, interrupted download count as done, but not for the rate.
            self.add_task(what, completed=done, total=total)
        self.update(self.task_ids[-1], completed=done, total=total)


class CountDisplay(ProgressBars):
    """Shows how many images are done, at which rate, and the time left: a bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console, what: str) -> None:
        super().__init__(console, MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        self.what = what
        self._images = self.add_task(what, total=None, rate="")
        self._began, self._before, self._done = time.monotonic(), 0, 0
        """Time of the beginning, images that were done before it (a resumed build begins with them), and by now."""

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` images."""
        if done < self._done:  # the next subset
            self._began, self._before = time.monotonic(), 0
        elif self._done == 0:
            self._before = done - 1
        self._done = done
        rate = (done - self._before) / max(time.monotonic() - self._began, 1e-9)
        if not self.console.is_terminal and (done == total or done % LINE_IMAGES == 0):
            left = f", {format_time_left((total - done) / rate)}" if total and rate and done < total else ""
            self.note(f"{self.what}: {done} of {total}, {rate:.0f} images/s{left}")
        self.update(self._images, completed=done, total=total, rate=f"{rate:.0f}/s")
