"""Housekeeping of the cache: which stores lie there, how large they are, when they were last used; removing some."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from datasets.loading.store import FORMAT, default_cache
from datasets.loading.store_writer import LOCK, UNFINISHED, beside, read_record

State = Literal["whole", "unfinished", "outdated"]
STORE_FOLDER = re.compile(rf".+-\d+-(squash|short_side)-[0-9a-f]{{16}}({UNFINISHED})?")
"""What our folders are called. Whatever else lies in the cache is not ours to list or remove."""


@dataclass(frozen=True)
class CachedStore:
    """One store in the cache, or what is left of one."""

    folder: Path
    state: State
    """unfinished: a build was killed and would be gone on with, or is under way; outdated: of another FORMAT."""
    bytes: int
    last_used: datetime
    """UTC; when it was last opened or written."""

    @property
    def place(self) -> Path:
        """The folder of the whole store, also where this one is unfinished."""
        return self.folder.with_name(self.folder.name.removesuffix(UNFINISHED))


def stores(cache: Path | None = None) -> list[CachedStore]:
    """What lies in the cache (`default_cache()` if None), the longest unused first."""
    cache = default_cache() if cache is None else cache
    folders = [path for path in cache.iterdir() if path.is_dir()] if cache.is_dir() else []
    found = []
    for folder in folders:
        if STORE_FOLDER.fullmatch(folder.name):
            with contextlib.suppress(FileNotFoundError):  # finished or removed by somebody at this moment
                found.append(_described(folder))
    return sorted(found, key=lambda store: store.last_used)


def superfluous(found: Iterable[CachedStore], unused: timedelta) -> list[CachedStore]:
    """Those that nothing opens any more (outdated), and those that weren't used for as long as `unused`."""
    now = datetime.now(UTC)
    return [store for store in found if store.state == "outdated" or now - store.last_used > unused]


def remove(chosen: Iterable[CachedStore]) -> list[CachedStore]:
    """Removes them and returns those removed; one that is being built just now stays.

    A process that has a store open keeps its pixels: the system frees them once it is done. Raises `OSError` if a
    folder can't be removed.
    """
    return [store for store in chosen if _removed(store)]


def _described(folder: Path) -> CachedStore:
    files = [path.stat() for path in folder.iterdir()]
    latest = max([folder.stat().st_mtime, *(file.st_mtime for file in files)])
    return CachedStore(
        folder, _state(folder), sum(file.st_size for file in files), datetime.fromtimestamp(latest, tz=UTC)
    )


def _state(folder: Path) -> State:
    try:
        current = read_record(folder)["key"]["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        current = False
    if not current:
        return "outdated"
    return "unfinished" if folder.name.endswith(UNFINISHED) else "whole"


def _removed(store: CachedStore) -> bool:
    unfinished = beside(store.place, UNFINISHED)
    try:
        with FileLock(beside(store.place, LOCK), timeout=0):
            if not store.folder.exists():  # its build has finished, or somebody else removed it
                return False
            if store.folder != unfinished:  # takes it away at once, so that nobody opens half a store
                shutil.rmtree(unfinished, ignore_errors=True)
                store.folder.rename(unfinished)
            shutil.rmtree(unfinished)
            return True
    except Timeout:
        return False
