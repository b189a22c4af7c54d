"""Locks: one process per Run, however many share a results folder, and one measurement per device.

Both are the operating system's file locks, so a lock ends with the process that holds it, and no stale lock has to be
judged by its age. Across hosts the file system must support locks, as NFS does (version 4 frees those of a host that
fell silent after its lease, usually 90 s). Without any support filelock falls back to a file that names its owner.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.gpu import gpu
from results.errors import ResultsError

FILE = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[bool]:
    """Locks the Run in `folder`, without waiting; yields whether this process got the lock.

    Raises `ResultsError` if the file can't be locked at all, or is a link.
    """
    if (folder / FILE).is_symlink():
        raise ResultsError(f"{folder / FILE}: is a link, and a lock must be a file; remove it")
    lock = FileLock(folder / FILE)
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
def device_lock(device: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Locks a device of this host for one measurement of this user: two at once would slow each other down. Calls
    `on_wait` if it has to wait.

    `cuda` is locked by its GPU's own identifier, since CUDA_VISIBLE_DEVICES decides which GPU that is. Raises
    `UserError` if it can't be used.
    """
    name = gpu(device).uuid if device == "cuda" else device
    lock = FileLock(Path(tempfile.gettempdir()) / f"fgbench-{os.getuid()}-{name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether some process is working on the Run in `folder` now."""
    with run_lock(folder) as locked:
        return not locked
