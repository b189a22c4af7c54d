"""The state of an unfinished training, written whole at the end of an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from results.store import write_whole

NAME = "checkpoint.pt"


class DamagedCheckpoint(Exception):  # noqa: N818 - reads as what it is
    """A checkpoint that can't be read or is of other settings."""


def save(folder: Path, run_hash: str, state: dict[str, Any]) -> None:
    """Replaces the Run's checkpoint. Raises `ResultsError` if it can't be written; the one before then stays."""
    write_whole(folder / NAME, lambda path: torch.save({"run": run_hash, **state}, path))


def load(folder: Path, run_hash: str) -> dict[str, Any] | None:
    """The state last saved for these settings, or None if there is none. Raises `DamagedCheckpoint`."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a cut or overwritten zip raises many types; all mean the same
        raise DamagedCheckpoint(f"{path} can't be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("run") != run_hash:
        raise DamagedCheckpoint(f"{path} is of other settings")
    return state


def discard(folder: Path) -> None:
    """Removes the checkpoint of a finished Run."""
    (folder / NAME).unlink(missing_ok=True)
