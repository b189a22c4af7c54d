"""The folder in which torch.compile keeps its code, so that each seed of a plan need not compile again.

Every Run has a process of its own. torch looks up in the folder what an earlier process compiled, by a hash of the
graph and of its own version; it writes files whole, so that several processes may share the folder.

Measured for plain on timm's `test_resnet` at 64 px, one thread of a CPU, losses and forward pass together: 136 s of
processor time in the first process, 7 s in the next. More than half of the rest is Dynamo's tracing, which each process
does anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from datasets.cache_folder import default_cache

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""torch's name of the folder; one that a user has set is kept."""


@dataclass(frozen=True)
class CompiledCode:
    """What the folder holds."""

    folder: Path
    bytes: int
    last_used: datetime


def use_folder() -> None:
    """Makes torch compile into the folder, in this process."""
    os.environ.setdefault(VARIABLE, str(_folder()))


def described() -> CompiledCode | None:
    """None if there is no compiled code."""
    found = [facts for _, facts in _files()]
    if not found:
        return None
    return CompiledCode(_folder(), sum(facts.st_size for facts in found), max(map(_last_used, found)))


def remove_unused(unused: timedelta) -> int:
    """Removes the files that were neither written nor read as long, and returns their bytes. torch makes them anew."""
    freed, now = 0, datetime.now(UTC)
    for path, facts in list(_files()):
        if now - _last_used(facts) > unused:
            path.unlink(missing_ok=True)
            freed += facts.st_size
    return freed


def _folder() -> Path:
    return default_cache() / "compiled"


def _files() -> Iterator[tuple[Path, os.stat_result]]:
    for path in _folder().rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # replaced by another process just now
            if path.is_file() and not path.is_symlink():
                yield path, path.stat()


def _last_used(facts: os.stat_result) -> datetime:
    """UTC. Many file systems note that a file was read no more than once a day."""
    return datetime.fromtimestamp(max(facts.st_mtime, facts.st_atime), tz=UTC)
