"""The cache of decoded stores: lists them with size, state and last use, and removes some."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from datasets.cache_folder import default_cache
from datasets.loading.store import FORMAT
from datasets.loading.store_writer import UNFINISHED, discard, read_record

State = Literal["whole", "unfinished", "outdated"]
STORE_FOLDER = re.compile(rf".+-\d+-(squash|short_side)-[0-9a-f]{{16}}({UNFINISHED})?")
"""Names of our folders. Anything else in the cache is never listed or removed."""


@dataclass(frozen=True)
class CachedStore:
    """A complete or unfinished store in the cache."""

    folder: Path
    state: State
    """unfinished: being built, or to be resumed; outdated: of another FORMAT."""
    bytes: int
    last_used: datetime
    """UTC; the last time it was opened or written."""


def stores(cache: Path | None = None) -> list[CachedStore]:
    """The stores in the cache (`default_cache()` if None), the longest unused first."""
    cache = default_cache() if cache is None else cache
    folders = [path for path in cache.iterdir() if path.is_dir()] if cache.is_dir() else []
    found = []
    for folder in folders:
        if STORE_FOLDER.fullmatch(folder.name):
            with contextlib.suppress(FileNotFoundError):  # finished or removed by another process just now
                found.append(_described(folder))
    return sorted(found, key=lambda store: store.last_used)


def superfluous(found: Iterable[CachedStore], unused: timedelta) -> list[CachedStore]:
    """The outdated stores, which nothing opens any more, and those not used for longer than `unused`."""
    now = datetime.now(UTC)
    return [store for store in found if store.state == "outdated" or now - store.last_used > unused]


def remove(chosen: Iterable[CachedStore]) -> list[CachedStore]:
    """Removes stores and returns those removed; a store that is being built is kept. Raises as `discard`."""
    return [store for store in chosen if discard(store.folder)]


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
