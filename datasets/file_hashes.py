"""SHA-256 of many files, remembered in the cache: a file is read again only if its stamp has changed.

hashes/<digest of a folder>.json    path -> stamp and SHA-256 of each file below the folder
hashes/<SHA-256 of a content>.txt   the `lines` of a content, to tell later which of its files have changed
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from datasets.cache_folder import default_cache
from results.files import put_whole

Stamp = list[int]
"""Size, times of the last change of content and of anything (ns), and inode: a replaced file has another."""

SETTLED_NS = 2_000_000_000
"""A file that changed less than this ago is not remembered: it could change again within the clock's tick."""


def hash_files(files: Mapping[str, Path], cache: Path | None = None) -> dict[str, str]:
    """Name -> SHA-256 of the file's bytes. Raises `OSError` for a file that can't be read.

    `cache` is `default_cache()` if None. What can't be remembered there is read again the next time.
    """
    memory = _folder(cache) / f"{_digest(os.path.commonpath(files.values()))}.json" if files else None
    known = _remembered(memory) if memory else {}
    stamps = {name: _stamp(path) for name, path in files.items()}
    paths = {name: str(path) for name, path in files.items()}
    found = {name: known[paths[name]][1] for name in files if known.get(paths[name], (None,))[0] == stamps[name]}
    unknown = [name for name in files if name not in found]
    began = time.time_ns()
    with ThreadPoolExecutor() as threads:  # reading and hashing release the interpreter lock
        found |= zip(unknown, threads.map(lambda name: _hash_file(files[name]), unknown), strict=True)
    settled = [name for name in unknown if max(stamps[name][1:3]) < began - SETTLED_NS]
    if memory and settled:
        _write(memory, json.dumps(known | {paths[name]: (stamps[name], found[name]) for name in settled}))
    return {name: found[name] for name in files}


def hash_content(hashes: Mapping[str, str], cache: Path | None = None) -> str:
    """SHA-256 of a content, over its `lines`; the lines are kept in the cache for `difference`."""
    text = lines(hashes)
    content = _digest(text)
    kept = _folder(cache) / f"{content}.txt"
    if not kept.exists():
        _write(kept, text)
    return content


def lines(hashes: Mapping[str, str]) -> str:
    """One line per file, sorted: `name <tab> SHA-256`."""
    return "\n".join(sorted(f"{name}\t{sha256}" for name, sha256 in hashes.items()))


def difference(content: str, hashes: Mapping[str, str], cache: Path | None = None) -> list[str] | None:
    """Names of the files that aren't in both contents with the same bytes; None if `content` was not kept here."""
    try:
        text = (_folder(cache) / f"{content}.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if _digest(text) != content:
        return None
    differing = set(text.splitlines()) ^ set(lines(hashes).splitlines())
    return sorted({line.rpartition("\t")[0] for line in differing})


def _folder(cache: Path | None) -> Path:
    return (default_cache() if cache is None else cache) / "hashes"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _stamp(path: Path) -> Stamp:
    status = os.stat(path)  # noqa: PTH116 - takes a quarter of the time of Path.stat
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(memory: Path) -> dict[str, tuple[Stamp, str]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return {path: (list(stamp), str(sha256)) for path, (stamp, sha256) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # nothing yet, or damaged: written anew
        return {}


def _write(file: Path, text: str) -> None:
    """Writes the file whole, or not at all where the cache can't be written."""
    with suppress(OSError, ValueError):
        file.parent.mkdir(parents=True, exist_ok=True)
        put_whole(file, lambda temporary: temporary.write_text(text, encoding="utf-8"), flush=False)
