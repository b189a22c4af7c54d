"""The files of kept features in the cache folder: what there is, and what may go. Needs no torch."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from datasets.cache_folder import default_cache
from results.files import sweep, unfinished

FORMAT = 2
"""Increase it when files, or what is computed, change: old features are then not found any more. Files of format 1 do
not name it."""
FEATURE_FILE = re.compile(r".+-[0-9a-f]{16}\.safetensors")
"""Names of our files. Anything else in the folder is never listed or removed."""
HEADER = 2**20
"""Bytes that the header of a file has at the most; ours has a few hundred."""

State = Literal["features", "unfinished", "outdated"]


@dataclass(frozen=True)
class KeptFile:
    """Features in the cache folder, or what a killed process left of them."""

    path: Path
    state: State
    """unfinished: being written, or left by a killed process; outdated: of another FORMAT."""
    bytes: int
    last_used: datetime
    """UTC; the last time that a Run read or wrote it."""


def feature_folder() -> Path:
    """Where features are kept."""
    return default_cache() / "features"


def kept_files(folder: Path) -> list[KeptFile]:
    """All of them, the longest unused first."""
    found = []
    paths = [path for path in folder.glob("*.safetensors") if FEATURE_FILE.fullmatch(path.name) and path.is_file()]
    parts = list(unfinished(folder))
    for path in (*paths, *parts):
        with contextlib.suppress(FileNotFoundError):  # removed or renamed by another process just now
            facts, state = path.stat(), "unfinished" if path in parts else _state(path)
            used = datetime.fromtimestamp(facts.st_mtime, tz=UTC)
            found.append(KeptFile(path, state, facts.st_size, used))
    return sorted(found, key=lambda file: file.last_used)


def superfluous(found: Iterable[KeptFile], unused: timedelta) -> list[KeptFile]:
    """The outdated ones, which no Run reads any more, those not used for longer than `unused`, and the unfinished ones,
    of which `remove` leaves those that are being written."""
    now = datetime.now(UTC)
    return [file for file in found if file.state != "features" or now - file.last_used > unused]


def remove(file: KeptFile) -> bool:
    """Whether it was removed, which it is not while another process writes it. A Run that reads it is not disturbed.

    Raises `OSError` if it can't be removed.
    """
    if file.state == "unfinished":
        sweep(file.path.parent)
    else:
        file.path.unlink(missing_ok=True)
    return not file.path.exists()


def to_be_removed(folder: Path, left: int) -> list[KeptFile]:
    """The longest unused ones without which all others have `left` bytes or less."""
    found = [file for file in kept_files(folder) if file.state != "unfinished"]
    total, chosen = sum(file.bytes for file in found), []
    for file in found:
        if total <= left:
            break
        chosen.append(file)
        total -= file.bytes
    return chosen


def _state(path: Path) -> State:
    """By the header: eight bytes with its length, then JSON."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, HEADER)))
        current = header["__metadata__"]["format"] == str(FORMAT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        current = False
    return "features" if current else "outdated"
