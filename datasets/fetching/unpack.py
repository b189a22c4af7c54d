"""Unpacks archives into a hidden folder beside their destination and moves the content once it is complete.

Nothing is written outside that folder. Absolute paths and `..` are refused, and so is everything but plain files and
folders: Python's own check of links can be deceived (CVE-2025-4517), and we know of no dataset's archive that has any.
"""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from datasets.fetching.download import FetchError
from datasets.interface import OnProgress

TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

MOST_EXPANSION = 100
"""How many times its own size an archive may become. Photographs hardly shrink in an archive, and tables of text to a
tenth; a file of zeros, of which archives that fill the disk are made, to a thousandth."""
ALWAYS_ALLOWED = 100 * 2**20
"""Bytes that may be unpacked from however small an archive."""
ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
UNREADABLE = (*ARCHIVE_ERRORS, EOFError, RuntimeError, ValueError, LookupError, ArithmeticError)
"""What the libraries raise for bytes that they don't expect."""
IMPOSSIBLE_NAMES = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ)
"""What the system says of members that can't be files of one folder."""


def unpack(file: Path, destination: Path, on_progress: OnProgress) -> None:
    """Unpacks a tar or zip archive into `destination`; any other file is copied there.

    Existing files of the same name are replaced. After an interruption, the destination is unchanged or `finish`
    completes it. Raises `FetchError` for a damaged or unsafe archive, `OSError` if the disk is full.
    """
    destination.mkdir(parents=True, exist_ok=True)
    unfinished = destination / f".unpacking-{file.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _extract(file, unfinished, on_progress)
        unfinished.rename(_unpacked(file.name, destination))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    finish(file.name, destination)


def finish(name: str, destination: Path) -> None:
    """Completes the move of an unpacked archive, if it was interrupted."""
    if (unpacked := _unpacked(name, destination)).exists():
        _merge(unpacked, destination)


def _unpacked(name: str, destination: Path) -> Path:
    return destination / f".unpacked-{name}"


def _merge(source: Path, target: Path) -> None:
    """Moves all entries of a folder into another; a folder that is new there is moved by one rename."""
    for entry in sorted(source.iterdir()):
        moved = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and moved.is_dir():
            _merge(entry, moved)
        else:
            entry.replace(moved)
    source.rmdir()


def _extract(file: Path, folder: Path, on_progress: OnProgress) -> None:
    try:
        if file.name.endswith(TAR_SUFFIXES):
            _extract_tar(file, folder, on_progress)
        elif file.suffix == ".zip":
            _extract_zip(file, folder, on_progress)
        else:
            shutil.copyfile(file, folder / file.name)
    except tarfile.FilterError as error:
        raise FetchError(f"{file}: {_one_line(error)}; nothing was unpacked, don't trust this archive") from error
    except UNREADABLE as error:
        raise _damaged(file, error) from error
    except OSError as error:
        # gzip and bz2 raise it without a number for damaged content; the others are faults of the disk.
        if error.errno in (None, *IMPOSSIBLE_NAMES):
            raise _damaged(file, error) from error
        raise


def _damaged(file: Path, error: Exception) -> FetchError:
    return FetchError(f"{file} is damaged or no archive ({_one_line(error)}); delete it and fetch again")


def _extract_tar(file: Path, folder: Path, on_progress: OnProgress) -> None:
    size = file.stat().st_size
    with file.open("rb") as raw, tarfile.open(fileobj=raw) as archive:
        unpacked = 0

        def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
            nonlocal unpacked
            _refuse_outside(file, member.name)
            if not (member.isreg() or member.isdir()):
                raise _unsafe(file, member.name, "is a link" if member.islnk() or member.issym() else "is a device")
            unpacked += member.size
            _refuse_too_large(file, folder, member.size, unpacked)
            on_progress(raw.tell(), size)
            return tarfile.data_filter(member, path)

        archive.extractall(folder, filter=checked)


def _extract_zip(file: Path, folder: Path, on_progress: OnProgress) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for member in members:
            _refuse_outside(file, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _unsafe(file, member.filename, "is a link")
        whole = sum(member.file_size for member in members)
        _refuse_too_large(file, folder, whole, whole)
        total, done = sum(member.compress_size for member in members), 0
        for member in members:
            archive.extract(member, folder)
            done += member.compress_size
            on_progress(done, total)


def _refuse_outside(file: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
        raise _unsafe(file, name, "leads out of the folder")


def _refuse_too_large(file: Path, folder: Path, size: int, whole: int) -> None:
    """Before `size` more bytes are written, with which the archive has become `whole` bytes."""
    if whole > ALWAYS_ALLOWED + MOST_EXPANSION * file.stat().st_size:
        raise FetchError(
            f"{file} would become more than {MOST_EXPANSION} times its size; "
            "nothing was unpacked, don't trust this archive"
        )
    if size > (free := shutil.disk_usage(folder).free):
        raise FetchError(
            f"{file} needs {size / 1e9:.1f} GB more to be unpacked, and {folder.parent} has {free / 1e9:.1f} GB free; "
            "free some space, and the same command resumes"
        )


def _unsafe(file: Path, member: str, why: str) -> FetchError:
    return FetchError(f"{file}: its member {member!r} {why}; nothing was unpacked, don't trust this archive")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
