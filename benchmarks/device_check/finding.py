"""What a check returns from its process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
