"""Who works on a Run: one process at a time, however many share a results folder.

A claim is the system's own lock on a file in the Run's folder. So it ends with the process that holds it, however that
ends, and there is no stale claim to be judged by its age. Across hosts this asks for a file system that passes locks
on, as NFS does (version 4 frees those of a host that fell silent after its lease, 90 s as a rule); where there are no
locks at all, filelock falls back to a file that names its owner.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from results.store import ResultsError

FILE = ".claim"


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Whether this process has the Run of `folder` to itself; if so, until the context ends. Never waits.

    Raises `ResultsError` where no claim can be made.
    """
    lock = FileLock(str(folder / FILE))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise ResultsError(
            f"{folder / FILE}: can't be locked ({error.strerror}); choose another folder with --results"
        ) from error
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def sole_use(device: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Nothing else of this user is measured on that device of this host meanwhile; `waiting` is told if it has to be
    waited for. Two measurements at once would each find the device slower than it is."""
    lock = FileLock(Path(tempfile.gettempdir()) / f"fgbench-{os.getuid()}-{device}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def held(folder: Path) -> bool:
    """Whether somebody is at work on the Run of `folder` at this moment."""
    with claim(folder) as ours:
        return not ours
