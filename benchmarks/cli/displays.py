"""Progress bars of the `data` verbs."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import DownloadColumn, MofNCompleteColumn, TimeRemainingColumn, TransferSpeedColumn

from benchmarks.execution.display import ProgressBars


class FetchDisplay(ProgressBars):
    """Shows a download: a line for each event, and on a terminal a bar with rate and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Updates the bar of `what`, which replaces the bar of anything else."""
        if not self.tasks or self.tasks[-1].description != escape(what):
            for task in self.task_ids:
                self.remove_task(task)
            # Bytes of an earlier, interrupted download count as done, but not for the rate.
            self.add_task(escape(what), completed=done, total=total)
        self.update(self.task_ids[-1], completed=done, total=total)


class CountDisplay(ProgressBars):
    """Shows how many images are done: a bar on a terminal, a line for every 500 images elsewhere."""

    def __init__(self, console: Console, what: str) -> None:
        super().__init__(console, MofNCompleteColumn(), TimeRemainingColumn())
        self.what = what
        self._images = self.add_task(escape(what), total=None)

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` images."""
        if not self.console.is_terminal and (done == total or done % 500 == 0):
            self.note(f"{self.what}: {done} of {total}")
        self.update(self._images, completed=done, total=total)
