"""Copies a finished Run to `results/reference/`: byte for byte, whole or not at all, and only if everything fits."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from results import agreement, device_check
from results.errors import ResultsError
from results.files import write_whole
from results.integrity import RECORD, read_file
from results.store import HISTORY, PREDICTIONS, REFERENCE, ResultStore

PREFIX = ".publishing-"
"""Of the folders in which copies are made."""


def publish(store: ResultStore, run_id: str) -> Path:
    """Copies a finished Run, without its weights, to the part of the results that is committed; returns its folder.

    Raises `ResultsError` for a Run that is not finished or does not fit what its record says, and if it can't be
    written.
    """
    files = stored_files(store, run_id)
    reference = ResultStore(store.root / REFERENCE)
    reference.prepare()
    target = reference.root / run_id
    try:
        with _alone(reference.root) as alone:
            if alone:
                _restore(reference.root)
            _replace(target, files)
    except OSError as error:
        raise ResultsError(f"{target}: can't be written ({error.strerror}); free space and publish again") from error
    return target


def is_device_check(store: ResultStore, name: str) -> bool:
    """Whether this is the name, or the path, of a stored check of a device."""
    return name.endswith(".json") and (store.root / device_check.FOLDER / Path(name).name).is_file()


def publish_device_check(store: ResultStore, name: str) -> Path:
    """Copies a stored check of a device, by its file's name, to the part of the results that is committed; returns its
    file. Raises `ResultsError` for one that can't be read or trusted, and if it can't be written."""
    reference = ResultStore(store.root / REFERENCE)
    reference.prepare()
    return device_check.write_check(reference.root, device_check.read_check(store.root / device_check.FOLDER / name))


def stored_files(store: ResultStore, run_id: str) -> dict[str, bytes]:
    """Record, history and predictions of a finished Run by name, as they are stored.

    Raises `ResultsError` for a Run that is not finished or does not fit what its record says. A record from before
    checksums is compared with what its files hold.
    """
    record = store.read(run_id)
    if record is None or record.status != "done":
        raise ResultsError(f"{store.root / run_id}: is no finished Run, so there is nothing to publish")
    history, predictions = store.history(run_id), store.predictions(run_id)
    if not record.checksums:
        faults = {
            HISTORY: agreement.history_fault(record, history),
            PREDICTIONS: agreement.predictions_fault(record, predictions),
        }
        for name, fault in faults.items():
            if fault is not None:
                raise ResultsError(f"{store.root / run_id / name}: {fault}; restore it, or run again")
    paths = [store.root / run_id / RECORD, *(store.file(run_id, name) for name in (HISTORY, PREDICTIONS))]
    return {path.name: read_file(path) for path in paths if path is not None}


@contextmanager
def _alone(reference: Path) -> Iterator[bool]:
    """Within, no other process publishes there. Whether that is sure: some network drives can't lock a folder."""
    folder = os.open(reference, os.O_RDONLY)
    try:
        locked = False
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
            locked = True
        yield locked
    finally:
        os.close(folder)


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    """Makes a folder of these files, or puts it in the place of the one that is there."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PREFIX) as made:  # readers of records skip such a name
        new, old = Path(made) / "new", Path(made) / folder.name
        new.mkdir()
        for name, content in files.items():
            write_whole(new / name, partial(Path.write_bytes, data=content))
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def _restore(reference: Path) -> None:
    """Puts copies back that a publish which was killed between two renames had set aside, and removes its folder."""
    for made in reference.glob(f"{PREFIX}*"):
        if made.is_symlink() or not made.is_dir():
            continue
        for old in made.iterdir():
            if old.name != "new" and not (reference / old.name).exists():
                old.rename(reference / old.name)
        shutil.rmtree(made, ignore_errors=True)
