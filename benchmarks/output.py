"""What can't be printed fails nothing: the disk is full, the reader is gone, or the alphabet lacks a letter."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

_lost: list[OSError] = []
"""Why text could not be written to stdout, the first time."""


class _Tolerant(io.FileIO):
    """A file descriptor that loses what it can't write."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self.fileno() == 1 and not _lost:
                _lost.append(error)
            return memoryview(data).nbytes


def tolerate() -> None:
    """Makes `sys.stdout` and `sys.stderr` of this process tolerant. Where a standard stream is closed, it is opened on
    nothing, or the next file would get its number and everything that is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
    for number, name in ((1, "stdout"), (2, "stderr")):
        was = getattr(sys, name) or io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Tolerant(number, "w", closefd=False)),
            encoding=was.encoding,
            errors="backslashreplace",
            line_buffering=was.line_buffering,
            write_through=was.write_through,
        )
        setattr(sys, name, stream)


def lost() -> str | None:
    """Why some of the output is missing, in the system's words; None if all was printed, or its reader has left."""
    sys.stdout.flush()
    reasons = [error.strerror for error in _lost if error.errno != errno.EPIPE]
    return reasons[0] if reasons else None
