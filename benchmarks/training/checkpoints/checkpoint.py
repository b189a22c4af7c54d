"""Checkpoint files: written whole, with the previous one kept, and used only if complete and of this version."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.errors import UserError
from results.errors import ResultsError
from results.files import sweep, write_whole
from results.settings import Run, differences
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT

VERSION = 3
"""Of what a checkpoint holds. Raised when `capture` of `benchmarks.training.checkpoints.state` returns anything else,
or what it returns means anything else: a checkpoint of another version is not used. The first version did not write its
number."""


class UnusableCheckpoint(Exception):  # noqa: N818 - reads as what it is
    """A checkpoint can't be read, is of another version, or does not contain what was written."""


def save(folder: Path, run: Run, state: dict[str, Any]) -> None:
    """Replaces the Run's checkpoint. Raises `ResultsError` if it can't be written; the previous one then stays."""

    def write(temporary: Path) -> None:
        content = {"version": VERSION, "settings": run.settings, **state}
        torch.save({**content, "outline": _outline(content)}, temporary)
        # Until the new one is renamed there is no checkpoint.pt; `load` then takes the previous one.
        if (folder / CHECKPOINT).is_file():
            (folder / CHECKPOINT).replace(folder / PREVIOUS_CHECKPOINT)

    write_whole(folder / CHECKPOINT, write)


def load(
    folder: Path, run: Run, micro_batch: int | Literal["auto"] | None = None
) -> tuple[dict[str, Any] | None, list[str]]:
    """The last saved state, or the previous one if that can't be used, or None; and a note on each that can't.

    Raises `UserError` if the checkpoint is of other settings, and shows the differences; or if its training was begun
    with another `micro_batch` than this one, where it is a number. Raises `ResultsError` if a file may not be read.
    """
    sweep(folder)
    notes: list[str] = []
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        path = folder / name
        if not path.is_file():
            continue
        try:
            state = _read(path)
        except UnusableCheckpoint as error:
            notes.append(str(error))
            continue
        if different := differences(run.settings, state["settings"]):
            raise UserError(f"{path} is of other settings ({'; '.join(different)}); move it away to train anew")
        if isinstance(micro_batch, int):
            _require_micro_batch(path, state["begun"]["micro_batch"], state["limit"], micro_batch)
        return state, notes
    return None, notes


def settings_in(folder: Path) -> dict[str, Any] | None:
    """The settings of the training that was interrupted there; None without a checkpoint that can be read."""
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        with suppress(Exception):  # a damaged file raises errors of many types; `load` tells of it
            return dict(torch.load(folder / name, map_location="cpu", mmap=True, weights_only=True)["settings"])
    return None


def discard(folder: Path) -> None:
    """Removes the checkpoints of a finished Run."""
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (folder / name).unlink(missing_ok=True)


def require_micro_batch(folder: Path, asked: int) -> None:
    """Raises `UserError` if a training was interrupted there that was begun with another micro-batch than `asked`.

    For planning: it reads no tensors, and leaves to `load` what can't be read.
    """
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        try:
            state = torch.load(folder / name, map_location="cpu", mmap=True, weights_only=True)
            begun, limit = state["begun"]["micro_batch"], state["limit"]
        except Exception:  # a damaged file raises errors of many types
            continue
        _require_micro_batch(folder / name, begun, limit, asked)
        return


def _require_micro_batch(path: Path, begun: int | str | None, limit: int | None, asked: int) -> None:
    if asked not in (begun, limit):
        how = "without --batch-size" if begun is None else f"with --batch-size {begun}"
        raise UserError(
            f"{path} was begun {how}, and {asked} would give other results; leave --batch-size out to continue it, or "
            "move it away to train anew"
        )


def _read(path: Path) -> dict[str, Any]:
    """The state in a file. Raises `UnusableCheckpoint`."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # checks checksums; torch.load does not
                raise UnusableCheckpoint(f"{path} is damaged (wrong checksum of {damaged})")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnusableCheckpoint:
        raise
    except PermissionError as error:  # hours of training that are still there
        raise ResultsError(
            f"{path}: can't be read ({error.strerror}); allow it, or move it away to train anew"
        ) from error
    except Exception as error:  # a truncated or overwritten file raises errors of many types
        raise UnusableCheckpoint(f"{path} can't be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise UnusableCheckpoint(f"{path} is not used: another version of fgbench wrote it")
    outline = state.pop("outline", None)
    if outline != _outline(state):
        raise UnusableCheckpoint(f"{path} is not used: it is incomplete")
    return state


def _outline(content: Mapping[str, Any]) -> str:
    """SHA-256 of all that `content` holds, except the numbers in tensors, which have checksums in the file."""
    digest = hashlib.sha256()
    for line in _lines(content, ""):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _lines(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, torch.Tensor):
        yield f"{place}: {value.dtype} {tuple(value.shape)}"
    elif isinstance(value, Mapping):
        yield f"{place}: {len(value)} names"
        for name, one in value.items():
            yield from _lines(one, f"{place}.{name!r}")
    elif isinstance(value, list | tuple):
        yield f"{place}: {len(value)} in order"
        for number, one in enumerate(value):
            yield from _lines(one, f"{place}.{number}")
    else:
        yield f"{place}: {value!r}"
