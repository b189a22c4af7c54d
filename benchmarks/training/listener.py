"""What is informed of a training's progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from datasets.interface import OnProgress

LINE_SECONDS = 10.0
"""Between two lines on what goes on before a training."""


class Listener(Protocol):
    """Is informed of a Run's progress."""

    def phase(self, name: str, first: int, epochs: int) -> None:
        """One of several phases begins, or goes on, whose first epoch comes after `first` others."""

    def trained(self, images: int) -> None: ...
    def evaluated(self, images: int) -> None: ...
    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...
    def note(self, text: str) -> None: ...


class Silent:
    """A listener that does nothing."""

    def phase(self, name: str, first: int, epochs: int) -> None: ...
    def trained(self, images: int) -> None: ...
    def evaluated(self, images: int) -> None: ...
    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...
    def note(self, text: str) -> None: ...


def in_lines(note: Callable[[str], None], what: str) -> OnProgress:
    """Tells `note` of progress, one line every `LINE_SECONDS`: `3000 of 5994 images decoded`, where `what` is `images
    decoded`. What takes less time is not told."""
    last = time.monotonic()

    def tell(done: int, total: int | None) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= LINE_SECONDS:
            last = now
            note(f"{done} of {total} {what}")

    return tell
