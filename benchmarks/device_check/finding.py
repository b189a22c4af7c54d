"""What a check returns from its process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.errors import first_line
from results.device_check import Status

NO_NUMBERS: Mapping[str, float] = {}


class Finding(NamedTuple):
    """The result of one check; see `results.device_check.Check`."""

    status: Status
    finding: str = ""
    numbers: Mapping[str, float] = NO_NUMBERS
    traceback: str | None = None


def not_run(reason: str) -> Finding:
    """A check that could not be made here."""
    return Finding("not run", reason)


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    kind, message = type(error).__name__, first_line(error)
    return kind if message == kind else f"{kind}: {message}"
