"""Copies a finished Run to `results/reference/`: byte for byte, whole or not at all, and only if everything fits."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from results.errors import ResultsError
from results.files import write_whole
from results.integrity import RECORD, read_file
from results.store import HISTORY, PREDICTIONS, REFERENCE, ResultStore


def publish(store: ResultStore, run_id: str) -> Path:
    """Copies a finished Run, without its weights, to the part of the results that is committed; returns its folder.

    Raises `ResultsError` for a Run that is not finished or does not fit what its record says, and if it can't be
    written.
    """
    record = store.read(run_id)
    if record is None or record.status != "done":
        raise ResultsError(f"{store.root / run_id}: is no finished Run, so there is nothing to publish")
    _ = store.history(run_id), store.predictions(run_id)  # an old record has no checksums: that they can be read at all
    paths = [store.root / run_id / RECORD, *(store.file(run_id, name) for name in (HISTORY, PREDICTIONS))]
    files = {path.name: read_file(path) for path in paths if path is not None}
    reference = ResultStore(store.root / REFERENCE)
    reference.prepare()
    target = reference.root / run_id
    try:
        _replace(target, files)
    except OSError as error:
        raise ResultsError(f"{target}: can't be written ({error.strerror}); free space and publish again") from error
    return target


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    """Makes a folder of these files, or puts it in the place of the one that is there."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:  # readers of records skip such a name
        new, old = Path(made) / "new", Path(made) / "old"
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
