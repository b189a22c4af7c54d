"""Loads a trained Run, and predicts the classes of the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmarks.errors import UserError
from benchmarks.training.build_method import autocast, build_method
from benchmarks.training.device import numerics
from datasets.formats.decode import read_image
from datasets.loading import augment
from datasets.loading.feed import Batch
from datasets.loading.store import resized
from methods.interface import Method
from results import integrity
from results.errors import ResultsError
from results.names import shortened, suggest
from results.record import Record
from results.settings import Run
from results.store import WEIGHTS, ResultStore, run_folder


def predict(store: ResultStore, run_id: str, images: Sequence[Path], device: str, top: int = 5) -> list[dict[str, Any]]:
    """The `top` most probable classes of each image: `{"image", "classes": [(name, probability), …]}`.

    `run_id` may be the beginning of an id. Raises `UserError` for a Run without weights, and `DatasetError` for an
    unreadable image.
    """
    target = torch.device(device)
    record, run, method = load_trained(store, run_id, target)
    names = _class_names(record)
    with numerics(run.precision):
        return [{"image": str(path), "classes": _top(method, run, path, names, target, top)} for path in images]


def load_trained(store: ResultStore, run_id: str, device: torch.device) -> tuple[Record, Run, Method]:
    """A trained Run's record and settings, and its method after the last epoch, in evaluation mode on the device.

    `run_id` may be the beginning of an id. Raises `UserError` for a Run without weights, and `ResultsError` for stored
    files that can't be trusted.
    """
    record = find_run(store, run_id, "train")
    weights = run_folder(store, record.id) / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{record.id} keeps no weights ({WEIGHTS} is missing); run it again to use it")
    integrity.check_file(weights)
    run = record.run
    assert isinstance(run, Run)
    untrained = run.model_copy(update={"pretrained": "none"})  # the Run's own weights replace the backbone's
    method, _ = build_method(untrained, len(_class_names(record)), None, device)
    try:
        with integrity.readable(weights):
            state = load_file(weights)
        method.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{weights}: does not fit the current method, or is damaged; run it again") from error
    return record, run, method.eval()


def _class_names(record: Record) -> list[str]:
    """Of the dataset that the Run was trained on. Raises `UserError` where its record does not hold them."""
    names = record.split.get("class_names")
    if not isinstance(names, list) or not names:
        raise UserError(f"{record.id}: its record does not name the classes; run it again to use it")
    return names


@torch.inference_mode()
def _top(
    method: torch.nn.Module, run: Run, path: Path, names: Sequence[str], device: torch.device, top: int
) -> list[tuple[str, float]]:
    pixels = resized(read_image(path), run.recipe.stored_size, run.recipe.resize, path)
    batch = Batch(
        pixels[None].to(device),
        torch.tensor([pixels.shape[1:]]),
        torch.zeros(1, dtype=torch.int64, device=device),
        np.zeros(1, dtype=np.int64),
    )
    image = augment.test_batch(batch, run.recipe.image_size, run.scaling)
    with autocast(device, run.precision):  # as it was evaluated
        logits = method(image)
    probabilities = logits.float().softmax(dim=1)[0]
    values, indices = probabilities.topk(min(top, len(names)))
    return [(names[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True)]


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
