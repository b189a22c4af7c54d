"""Gets a dataset's archives, downloaded or supplied by the user, into the data root.

Each archive is found, or downloaded into `.downloads` below the root, checked against its published checksum, and
unpacked. After an interruption the same call resumes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from filelock import AcquireReturnProxy, FileLock, Timeout

from datasets.fetching.download import FetchError, MirrorError, Partial, download
from datasets.fetching.unpack import finish, unpack
from datasets.interface import Dataset, DatasetError
from datasets.release import Archive

DOWNLOADS = ".downloads"
"""Folder below the data root; hidden, so that it isn't taken for a dataset."""


class Display(Protocol):
    """Shows the progress of a fetch."""

    def note(self, text: str) -> None:
        """Prints one line, e.g. which file was found, or which mirror failed and why."""

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Shows progress of `what`."""


def fetch(name: str, reader: type[Dataset], root: Path, archive_folder: Path | None, display: Display) -> None:
    """Gets all archives of `reader` (called `name`) into `root`, except what already exists.

    Archives in the root, its `.downloads` or the folder `archive_folder` are used instead of a download. A second
    process that fetches at the same time waits. Raises `DatasetError` with what to do by hand if something can't be
    downloaded, and `FetchError` if no mirror serves an archive or the disk is full.
    """
    if not reader.archives:
        raise DatasetError(f"{name} has nothing to fetch; {reader.by_hand or 'it needs no files'}")
    folders = [*([archive_folder] if archive_folder else []), root / DOWNLOADS, root]
    try:
        (root / DOWNLOADS).mkdir(parents=True, exist_ok=True)
        with _locked(root / DOWNLOADS / f"{name}.lock", display):
            missing = [archive for archive in reader.archives if not _is_unpacked(archive, root)]
            files = {archive.name: _find(archive, folders, display) for archive in missing}
            _refuse_unobtainable(name, reader, [a for a in missing if not files[a.name]], folders)
            for archive in missing:
                _unpack(archive, files[archive.name] or _download(archive, root / DOWNLOADS, display), root, display)
    except OSError as error:
        raise FetchError(
            f"{error.filename or root}: {error.strerror or error}; fix that, and the same command resumes"
        ) from error


def _locked(path: Path, display: Display) -> AcquireReturnProxy:
    """The lock, acquired; leaving it as a context releases it."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        display.note("another process is fetching this dataset; waiting for it")
        return lock.acquire()


def _is_unpacked(archive: Archive, root: Path) -> bool:
    """Whether everything it gives is in place, once an interrupted move has been completed."""
    finish(archive.name, root / archive.into)
    return all((root / path).exists() for path in archive.gives)


def _find(archive: Archive, folders: Sequence[Path], display: Display) -> Path | None:
    """The archive in one of the folders, if it has the right content."""
    for file in (folder / archive.name for folder in folders):
        if file.is_file():
            if (fault := fault_of(file, archive, display)) is None:
                display.note(f"{file} is used")
                return file
            display.note(f"{file} is not used: {fault}")
    return None


def _refuse_unobtainable(name: str, reader: type[Dataset], lacking: list[Archive], folders: Sequence[Path]) -> None:
    """Called before the first download, which may take hours."""
    if by_hand := [archive.name for archive in lacking if not archive.urls]:
        searched = ", ".join(str(folder) for folder in folders)
        raise DatasetError(
            f"{name} can't be fetched: {reader.by_hand or 'get its archives from its site'} "
            f"(looked for {', '.join(by_hand)} in {searched})"
        )


def _download(archive: Archive, folder: Path, display: Display) -> Path:
    """Downloads from the first mirror that serves the right file."""
    reasons = []
    parts = [Partial.of(folder, archive.name, url) for url in archive.urls]
    for url, part in zip(archive.urls, parts, strict=True):
        display.note(f"{archive.name} from {url}")
        try:
            download(url, part, archive.size, lambda done, total: display.bytes(archive.name, done, total))
            fault = fault_of(part.data, archive, display)
        except MirrorError as error:
            reasons.append(str(error))
            if url != archive.urls[-1]:  # else the error says it
                display.note(reasons[-1])
            continue
        if fault is None:
            file = part.data.replace(folder / archive.name)
            for leftover in parts:
                leftover.discard()
            return file
        part.discard()
        reasons.append(f"{url}: {fault}; the downloaded file was removed")
        display.note(reasons[-1])
    raise FetchError(
        f"{archive.name} can't be fetched: {' | '.join(reasons)}; run the command again, or put the file into "
        f"{folder.parent}"
    )


def fault_of(file: Path, archive: Archive, display: Display) -> str | None:
    """Why a file isn't this archive, in words; None if it is."""
    if archive.size is not None and file.stat().st_size != archive.size:
        return f"has {file.stat().st_size} bytes, {archive.size} were expected"
    kind, published = ("MD5", archive.md5) if archive.md5 and not archive.sha256 else ("SHA-256", archive.sha256)
    with file.open("rb") as content:
        found = hashlib.file_digest(content, kind.replace("-", "").lower()).hexdigest()
    if published is None:
        display.note(f"{archive.name}: no checksum is published; its SHA-256 is {found}")
    elif found != published.lower():
        return f"has {kind} {found}, {published} was expected"
    return None


def _unpack(archive: Archive, file: Path, root: Path, display: Display) -> None:
    destination = root / archive.into
    unpack(file, destination, lambda done, total: display.bytes(f"unpacking {archive.name}", done, total))
    for path in archive.gives:
        if not (root / path).exists():
            raise FetchError(f"{file} was unpacked into {destination}, but {root / path} was not in it")
