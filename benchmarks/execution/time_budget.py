"""A limit on the time that a plan may take: `--hours`.

Runs that fit into the remaining time come first; when the time is up, the current Run is interrupted. It resumes from
its last checkpoint, so a machine lent for half an hour is used to the last minute: once no Run fits any more, one that
does not fit is started all the same.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeIsUp(KeyboardInterrupt):
    """The plan's time has run out. Interrupts a Run as Ctrl-C does, so that it can be resumed."""


class TimeBudget:
    """A number of seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raises `TimeIsUp` in the main thread if the time runs out within the context."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a time budget must be enforced in the main thread, which receives the signals")
        before = signal.signal(signal.SIGALRM, _raise_time_is_up)
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _raise_time_is_up(number: int, frame: FrameType | None) -> None:
    raise TimeIsUp
