"""Unpacks archives into a hidden folder beside their destination and moves the content once it is complete.

Nothing is written outside that folder: absolute paths, `..` and links that lead out are refused.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from datasets.fetching.download import FetchError
from datasets.interface import OnProgress

TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


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
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise _damaged(file, error) from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 raise it for damaged content; faults of the disk have a number
            raise _damaged(file, error) from error
        raise


def _damaged(file: Path, error: Exception) -> FetchError:
    return FetchError(f"{file} is damaged or no archive ({_one_line(error)}); delete it and fetch again")


def _extract_tar(file: Path, folder: Path, on_progress: OnProgress) -> None:
    size = file.stat().st_size
    with file.open("rb") as raw, tarfile.open(fileobj=raw) as archive:

        def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
            _refuse_outside(file, member.name)
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
        total, done = sum(member.compress_size for member in members), 0
        for member in members:
            archive.extract(member, folder)
            done += member.compress_size
            on_progress(done, total)


def _refuse_outside(file: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
        raise _unsafe(file, name, "leads out of the folder")


def _unsafe(file: Path, member: str, why: str) -> FetchError:
    return FetchError(f"{file}: its member {member!r} {why}; nothing was unpacked, don't trust this archive")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
