"""The state of an unfinished training: written whole, the one before kept, damage found before it is used."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import UserError
from results.settings import Run, differences
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT, write_whole


class DamagedCheckpoint(Exception):  # noqa: N818 - reads as what it is
    """A checkpoint that can't be read, or does not hold what was written."""


def save(folder: Path, run: Run, state: dict[str, Any]) -> None:
    """Replaces the Run's checkpoint. Raises `ResultsError` if it can't be written; the one before then stays."""

    def write(temporary: Path) -> None:
        torch.save({"settings": run.settings, **state}, temporary)
        # From here to the renaming of the new one there is no checkpoint.pt, and `load` takes the previous.
        if (folder / CHECKPOINT).is_file():
            (folder / CHECKPOINT).replace(folder / PREVIOUS_CHECKPOINT)

    write_whole(folder / CHECKPOINT, write)


def load(folder: Path, run: Run) -> tuple[dict[str, Any] | None, list[str]]:
    """The state last saved, or the one before if that is damaged, or None; and what is to be said of it.

    Raises `UserError` if it is a checkpoint of other settings: it shows the difference.
    """
    _sweep(folder)
    notes: list[str] = []
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        path = folder / name
        if not path.is_file():
            continue
        try:
            state = _read(path)
        except DamagedCheckpoint as error:
            notes.append(str(error))
            continue
        if different := differences(run.settings, state["settings"]):
            raise UserError(f"{path} is of other settings ({'; '.join(different)}); move it away to train anew")
        return state, notes
    return None, notes


def discard(folder: Path) -> None:
    """Removes the checkpoints of a finished Run."""
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (folder / name).unlink(missing_ok=True)
    _sweep(folder)


def _read(path: Path) -> dict[str, Any]:
    """The state in a file. Raises `DamagedCheckpoint`."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # compares checksums, which torch.load does not
                raise DamagedCheckpoint(f"{path} is damaged ({damaged} has another checksum)")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # a cut or overwritten file raises many types; all mean the same
        raise DamagedCheckpoint(f"{path} can't be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or "settings" not in state:
        raise DamagedCheckpoint(f"{path} is no checkpoint of this version")
    return state


def _sweep(folder: Path) -> None:
    """Removes what a process left that was killed while it wrote."""
    for half_written in folder.glob(f".{CHECKPOINT}.*"):
        half_written.unlink(missing_ok=True)
