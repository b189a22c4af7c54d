"""Files of a results folder: whole or not there, never written through a link, and swept if their writer was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from results.errors import ResultsError

_UNFINISHED = re.compile(r"\..+(?P<suffix>\.\w+)\.[a-z0-9_]{8}(?P=suffix)")
"""Names that `write_whole` gives to files that are not finished: `.history.csv.k3v9x_a1.csv`."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PROBE = bytes(1 << 20)
"""Written to ask the system for its reason: more than a file has room for in its last block."""


def write_whole(path: Path, write: Callable[[Path], object], *, option: str = "--results", flush: bool = True) -> None:
    """As `put_whole`, for files of a results folder. Raises `ResultsError` with the system's reason; `option` chooses
    another place."""
    try:
        put_whole(path, write, flush=flush)
    except OSError as error:
        advice = "free space, or choose" if error.errno in _FULL else "choose"
        raise ResultsError(f"{path}: can't be written ({_words(error)}); {advice} another {option}") from error


def put_whole(path: Path, write: Callable[[Path], object], *, flush: bool = True) -> None:
    """Calls `write(temporary path)` in the same folder, flushes to disk, and renames: `path` is whole or untouched.

    A link at `path` is replaced, and what it points to stays as it is. Without `flush`, a power cut may leave an empty
    file. Raises `OSError`, also where the library that `write` calls wraps it.
    """
    temporary = path
    try:
        handle, temporary = _begun(path)
        try:
            write(temporary)
            _hold(handle, temporary)
            if flush:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            os.close(handle)
    except (RuntimeError, SafetensorError) as error:  # torch and safetensors wrap the system's error
        raise _unwrapped(error, temporary) from error
    finally:
        if temporary != path:
            with suppress(OSError):  # or it would hide the first error
                temporary.unlink(missing_ok=True)


def _begun(path: Path) -> tuple[int, Path]:
    """A new empty file beside `path`, open and locked."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        with suppress(OSError):  # where files can't be locked, `sweep` leaves them alone
            fcntl.flock(handle, fcntl.LOCK_EX)  # waits for a `sweep` that has just seen it
        if Path(name).exists():
            return handle, Path(name)
        os.close(handle)  # swept before it was locked


def _hold(handle: int, temporary: Path) -> None:
    """Locks the file that `write` has put in the place of the one begun, as safetensors does.

    `handle` then belongs to it.
    """
    with suppress(OSError):
        if not os.path.samestat(os.fstat(handle), temporary.stat()):
            other = os.open(temporary, os.O_RDWR)
            fcntl.flock(other, fcntl.LOCK_EX)
            os.dup2(other, handle)
            os.close(other)


def make_folder(root: Path, name: str, option: str) -> Path:
    """`root/name`, made if need be; `option` chooses another `root`, which may be a link itself.

    Raises `ResultsError` if it can't be made, or if a link below `root` leads elsewhere.
    """
    path = root / name
    try:
        if path.resolve() != root.resolve() / name:
            raise ResultsError(f"{path}: is a link, and nothing is written through one; move it away")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = getattr(error, "strerror", None) or error
        raise ResultsError(f"{path}: can't be made ({reason}); choose another {option}") from error
    return path


def sweep(root: Path) -> None:
    """Removes the unfinished files below `root` whose writers are gone. Links are not followed."""
    for path in unfinished(root):
        with suppress(OSError), path.open("rb") as file:  # a writer holds a lock, wherever it runs
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)


def unfinished(root: Path) -> Iterator[Path]:
    """The unfinished files below `root`, whose writers may be at work or gone."""
    for folder, _, names in os.walk(root):
        for name in filter(_UNFINISHED.fullmatch, names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _unwrapped(error: Exception, written: Path) -> OSError:
    """The system's error behind a library's: the system is asked again, by writing more to the file."""
    try:
        with written.open("ab") as file:
            file.write(_PROBE)
            file.flush()
    except OSError as asked:
        return asked
    return OSError(str(error).strip().splitlines()[0])


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
