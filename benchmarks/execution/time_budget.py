"""A limit on the time that a plan may take: what fits is done first, and at the end the Run that is on is interrupted.

An interrupted Run goes on from its last checkpoint, so a machine that is lent for half an hour is used to the last
minute: what no longer fits is begun all the same, once nothing that fits is left.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from types import FrameType
from typing import Any

from results.settings import AnyRun, Run


class TimeIsUp(KeyboardInterrupt):
    """The plan's time has run out. Ends a Run as Ctrl-C does, from which it goes on."""


class Budget:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Raises `TimeIsUp` in the main thread when the time runs out within the context."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a time budget can only be kept by the main thread: signals arrive there")
        before = signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise TimeIsUp


class Pace:
    """How long a Run takes, judged by finished ones on the same device: by those of its method, backbone and input
    size, or by any of its backbone and size."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], list[float]] = {}

    def learn(self, case: AnyRun, work: float, seconds: float) -> None:
        """Takes a finished Run into account; `work` in trained images."""
        for key in _keys(case):
            self._known.setdefault(key, []).append(seconds / work)

    def seconds(self, case: AnyRun, work: float) -> float | None:
        """What it is expected to take; None: nothing like it is known."""
        return next((work * median(self._known[key]) for key in _keys(case) if key in self._known), None)


def _keys(case: AnyRun) -> list[tuple[Any, ...]]:
    """What Runs of like cost share, the nearest likeness first."""
    size = case.recipe.image_size if isinstance(case, Run) else case.image_size
    network = (case.job, case.backbone, size, case.precision)
    return [(case.method, case.variant, *network), (case.method, *network), network]
