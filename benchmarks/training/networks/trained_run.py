"""Loads a trained Run or a shared network, and predicts the classes of the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.errors import UserError
from benchmarks.training.device import numerics
from benchmarks.training.networks.build_method import autocast
from datasets.formats.decode import read_image
from datasets.loading import augment
from datasets.loading.feed import Batch
from datasets.loading.store import resized
from methods import trained
from methods.interface import Method
from methods.trained import Trained
from results import integrity
from results.augmentation import InputScaling
from results.errors import ResultsError
from results.integrity import RECORD
from results.record import Record
from results.settings import Run
from results.store import REFERENCE, WEIGHTS, ResultStore, run_folder
from results.values.names import shortened, suggest
from results.values.text import can_be_path


def predict(store: ResultStore, asked: str, images: Sequence[Path], device: str, top: int = 5) -> list[dict[str, Any]]:
    """The `top` most probable classes of each image: `{"image", "classes": [(name, probability), …]}`.

    `asked` is a Run's id or the beginning of one, or the path of a trained network (`methods.trained`). Raises
    `UserError` for a Run without weights, `BackboneError` for a path without a trained network, and `DatasetError` for
    an unreadable image.
    """
    target = torch.device(device)
    known, method = trained.load(_place(store, asked))
    method = _on(target, method)
    with numerics(known.precision):
        return [{"image": str(path), "classes": _top(method, known, path, target, top)} for path in images]


def load_trained(store: ResultStore, run_id: str, device: torch.device) -> tuple[Record, Run, Method]:
    """A trained Run's record and settings, and its method after the last epoch, in evaluation mode on the device.

    `run_id` may be the beginning of an id. Raises `UserError` for a Run without weights, and `ResultsError` for stored
    files that can't be trusted.
    """
    record = find_run(store, run_id, "train")
    folder = folder_with_weights(store, record)
    assert isinstance(record.run, Run)
    return record, record.run, _on(device, trained.load(folder)[1])


def folder_with_weights(store: ResultStore, record: Record) -> Path:
    """The folder of a trained Run whose weights can be loaded.

    Raises `UserError` if it keeps none or does not name its classes, and `ResultsError` for weights that are not those
    that were stored with the record.
    """
    folder = run_folder(store, record.id)
    weights = folder / WEIGHTS
    if not weights.is_file():
        why = "committed results keep none" if folder.parent.name == REFERENCE else f"{WEIGHTS} is missing"
        raise UserError(f"{record.id} keeps no weights ({why}); run it again to use it")
    integrity.check_file(weights)
    names = record.split.get("class_names")
    if not isinstance(names, list) or not names:
        raise UserError(f"{record.id}: its record does not name the classes; run it again to use it")
    return folder


def _place(store: ResultStore, asked: str) -> Path:
    """Where the trained network that `asked` means is: that path itself, or the folder of a Run whose weights are its
    record's."""
    path = Path(asked)
    if can_be_path(asked) and path.exists() and trained.is_trained(path):
        folder = (path.parent if path.is_file() else path).resolve()
        if not (folder / RECORD).is_file():
            return path
        store, asked = ResultStore(folder.parent), folder.name
    elif "/" in asked:
        raise UserError(f"{asked}: there is no trained network, nor a Run of that name")
    return folder_with_weights(store, find_run(store, asked, "train"))


def _on(device: torch.device, method: Method) -> Method:
    """The method on its device, laid out in memory as in training."""
    return method.to(device).to(memory_format=torch.channels_last)


@torch.inference_mode()
def _top(method: Method, known: Trained, path: Path, device: torch.device, top: int) -> list[tuple[str, float]]:
    pixels = resized(read_image(path), known.stored_size, known.resize, path)
    batch = Batch(
        pixels[None].to(device),
        torch.tensor([pixels.shape[1:]]),
        torch.zeros(1, dtype=torch.int64, device=device),
        np.zeros(1, dtype=np.int64),
    )
    image = augment.test_batch(batch, known.image_size, InputScaling(mean=known.mean, std=known.std))
    with autocast(device, known.precision):  # as it was evaluated
        logits = method(image)
    probabilities = logits.float().softmax(dim=1)[0]
    values, indices = probabilities.topk(min(top, len(known.class_names)))
    return [(known.class_names[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True)]


def find_run(store: ResultStore, run_id: str, job: str | None = None) -> Record:
    """The record with this id, or the only one whose id begins with it. Raises `UserError` and suggests the nearest;
    `ResultsError` for a record that can't be trusted.
    """
    known = {record.id: record for record in store.records() if job in (None, record.run.job)}
    matches = [run_id] if run_id in known else [name for name in known if name.startswith(run_id)]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UserError(f"{run_id!r} begins the ids of {len(matches)} Runs: {shortened(matches)}")
    if unusable := sorted(name for name in store.left_out if name.startswith(run_id)):
        raise ResultsError(store.left_out[unusable[0]])
    raise UserError(f"there is no Run {run_id!r} below {store.root}; {suggest(run_id, known)}")
