"""Checkpoint files: written whole, with the previous one kept, and verified before they are used."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.errors import UserError
from results.files import write_whole
from results.settings import Run, differences
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT


class DamagedCheckpoint(Exception):  # noqa: N818 - reads as what it is
    """A checkpoint can't be read, or does not contain what was written."""


def save(folder: Path, run: Run, state: dict[str, Any]) -> None:
    """Replaces the Run's checkpoint. Raises `ResultsError` if it can't be written; the previous one then stays."""

    def write(temporary: Path) -> None:
        torch.save({"settings": run.settings, **state}, temporary)
        # Until the new one is renamed there is no checkpoint.pt; `load` then takes the previous one.
        if (folder / CHECKPOINT).is_file():
            (folder / CHECKPOINT).replace(folder / PREVIOUS_CHECKPOINT)

    write_whole(folder / CHECKPOINT, write)


def load(
    folder: Path, run: Run, micro_batch: int | Literal["auto"] | None = None
) -> tuple[dict[str, Any] | None, list[str]]:
    """The last saved state, or the previous one if that is damaged, or None; and notes on damaged files.

    Raises `UserError` if the checkpoint is of other settings, and shows the differences; or if its training was begun
    with another `micro_batch` than this one, where it is a number.
    """
    _remove_partial_files(folder)
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
        if isinstance(micro_batch, int):
            _require_micro_batch(path, state, micro_batch)
        return state, notes
    return None, notes


def discard(folder: Path) -> None:
    """Removes the checkpoints of a finished Run."""
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (folder / name).unlink(missing_ok=True)
    _remove_partial_files(folder)


def _require_micro_batch(path: Path, state: dict[str, Any], asked: int) -> None:
    if not (begun := state.get("begun")):  # of an older version, which did not keep it
        return
    if asked not in (begun["micro_batch"], state["limit"]):
        how = "without --batch-size" if begun["micro_batch"] is None else f"with --batch-size {begun['micro_batch']}"
        raise UserError(
            f"{path} was begun {how}, and {asked} would give other results; leave --batch-size out to continue it, or "
            "move it away to train anew"
        )


def _read(path: Path) -> dict[str, Any]:
    """The state in a file. Raises `DamagedCheckpoint`."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # checks checksums; torch.load does not
                raise DamagedCheckpoint(f"{path} is damaged (wrong checksum of {damaged})")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # a truncated or overwritten file raises errors of many types
        raise DamagedCheckpoint(f"{path} can't be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or "settings" not in state:
        raise DamagedCheckpoint(f"{path} is no checkpoint of this version")
    return state


def _remove_partial_files(folder: Path) -> None:
    """Removes partial files of a process that was killed while it wrote."""
    for half_written in folder.glob(f".{CHECKPOINT}.*"):
        half_written.unlink(missing_ok=True)
