"""A dataset's archives from their site, or from where somebody put them, into the data root.

Every archive is found or downloaded into `.downloads` below the root, checked against its published checksum, and
unpacked. Whatever interrupts this, the same call goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from datasets.fetching.download import FetchError, MirrorError, Partial, download
from datasets.fetching.unpack import finish, unpack
from datasets.interface import Dataset, DatasetError
from datasets.release import Archive

DOWNLOADS = ".downloads"
"""Folder below the data root; hidden, so that it is never taken for a dataset."""


class Listener(Protocol):
    """Hears of a fetch's progress."""

    def note(self, text: str) -> None:
        """One line: which file was found, which mirror failed and why."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """How far `what` is."""


def fetch(name: str, reader: type[Dataset], root: Path, put_into: Path | None, listener: Listener) -> None:
    """Gets everything that `reader` (called `name`) states, into `root`; what is there already is left alone.

    Archives that somebody put into the root, its `.downloads` or the folder `put_into` are used in place of a
    download. Two processes may fetch at once: the second waits. Raises `DatasetError` where nothing can be fetched,
    saying what to do by hand; `FetchError` if no mirror serves an archive, or the disk is full.
    """
    if not reader.archives:
        raise DatasetError(f"{name} has nothing to fetch; {reader.by_hand or 'it needs no files'}")
    folders = [*([put_into] if put_into else []), root / DOWNLOADS, root]
    try:
        (root / DOWNLOADS).mkdir(parents=True, exist_ok=True)
        with _alone(root / DOWNLOADS / f"{name}.lock", listener):
            missing = [archive for archive in reader.archives if not _is_there(archive, root)]
            files = {archive.name: _find(archive, folders, listener) for archive in missing}
            _refuse_unobtainable(name, reader, [a for a in missing if not files[a.name]], folders)
            for archive in missing:
                _put(archive, files[archive.name] or _download(archive, root / DOWNLOADS, listener), root, listener)
    except OSError as error:
        raise FetchError(
            f"{error.filename or root}: {error.strerror or error}; mend that, and the same command goes on from there"
        ) from error


@contextmanager
def _alone(lock: Path, listener: Listener) -> Iterator[None]:
    held = FileLock(str(lock))
    try:
        held.acquire(timeout=0)
    except Timeout:
        listener.note("another process is fetching this dataset; waiting for it")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _is_there(archive: Archive, root: Path) -> bool:
    """Whether all that it gives is in place, after a move that was interrupted has been completed."""
    finish(archive.name, root / archive.into)
    return all((root / path).exists() for path in archive.given)


def _find(archive: Archive, folders: Sequence[Path], listener: Listener) -> Path | None:
    """The archive where somebody put it, if it is the right one."""
    for file in (folder / archive.name for folder in folders):
        if file.is_file():
            if (fault := fault_of(file, archive, listener)) is None:
                listener.note(f"{file} is used")
                return file
            listener.note(f"{file} is not used: {fault}")
    return None


def _refuse_unobtainable(name: str, reader: type[Dataset], lacking: list[Archive], folders: Sequence[Path]) -> None:
    """Before the first download: it may take hours."""
    if by_hand := [archive.name for archive in lacking if not archive.urls]:
        searched = ", ".join(str(folder) for folder in folders)
        raise DatasetError(
            f"{name} can't be fetched: {reader.by_hand or 'get its archives from its site'} "
            f"(looked for {', '.join(by_hand)} in {searched})"
        )


def _download(archive: Archive, folder: Path, listener: Listener) -> Path:
    """From the first mirror that serves the right file."""
    reasons = []
    parts = [Partial.of(folder, archive.name, url) for url in archive.urls]
    for url, part in zip(archive.urls, parts, strict=True):
        listener.note(f"{archive.name} from {url}")
        try:
            download(url, part, archive.size, lambda done, total: listener.bytes(archive.name, done, total))
            fault = fault_of(part.data, archive, listener)
        except MirrorError as error:
            reasons.append(str(error))
            listener.note(reasons[-1])
            continue
        if fault is None:
            file = part.data.replace(folder / archive.name)
            for leftover in parts:
                leftover.discard()
            return file
        part.discard()
        reasons.append(f"{url}: {fault}; what came was removed")
        listener.note(reasons[-1])
    raise FetchError(f"{archive.name} can't be fetched: {' | '.join(reasons)}")


def fault_of(file: Path, archive: Archive, listener: Listener) -> str | None:
    """What is wrong with a file that should be this archive, in words; None if nothing is."""
    if archive.size is not None and file.stat().st_size != archive.size:
        return f"has {file.stat().st_size} bytes, {archive.size} were expected"
    kind, published = ("MD5", archive.md5) if archive.md5 and not archive.sha256 else ("SHA-256", archive.sha256)
    with file.open("rb") as content:
        found = hashlib.file_digest(content, kind.replace("-", "").lower()).hexdigest()
    if published is None:
        listener.note(f"{archive.name}: no checksum is published; its SHA-256 is {found}")
    elif found != published.lower():
        return f"has {kind} {found}, {published} was expected"
    return None


def _put(archive: Archive, file: Path, root: Path, listener: Listener) -> None:
    destination = root / archive.into
    unpack(file, destination, lambda done, total: listener.bytes(f"unpacking {archive.name}", done, total))
    for path in archive.given:
        if not (root / path).exists():
            raise FetchError(f"{file} was unpacked into {destination}, but {root / path} was not in it")
