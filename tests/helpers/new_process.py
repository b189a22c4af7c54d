"""What a new process has not seen yet."""

from __future__ import annotations

from benchmarks import environment


def forget_datasets() -> None:
    """Every dataset is opened anew when it is next asked for."""
    environment.opened_once.cache_clear()
