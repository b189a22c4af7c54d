"""Trainings of a second or two, and what is compared of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.environment import Environment, Execution
from benchmarks.planning import expand
from benchmarks.planning.method_checks import missing_attention, stand_in
from benchmarks.planning.method_files import options_of, split_name
from benchmarks.planning.overrides import OF_TRAINING
from benchmarks.planning.suite import Suite
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from methods.plain.model import Plain
from results.settings import Run

IMAGES = {"classes": 3, "train_per_class": 8, "test_per_class": 5, "size": 32}
RECIPE = {"image_size": 32, "stored_size": 32, "batch_size": 5, "epochs": 2, "validation": 0.25}
"""18 images are trained on: four batches, of which the last has three."""
RESNET = {"name": "test_resnet", "pretrained": "none"}
SWIN: dict[str, Any] = {
    "name": "swin_tiny_patch4_window7_224",
    "pretrained": "none",
    "options": {
        "embed_dim": 16,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 2, 4],
        "window_size": 2,
        "drop_path_rate": 0.0,
    },
}
"""Without batch norm and draws: what an image gives does not depend on the others of its batch."""
VIT: dict[str, Any] = {
    "name": "vit_tiny_patch16_224",
    "pretrained": "none",
    "options": {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 4},
}
"""16 patches at 32 px."""


def small_run(method: str = "plain", backbone: dict[str, Any] | None = None, **changes: Any) -> Run:
    """A Run on drawn images; `changes` are settings of its recipe, or of the Run where it has such a setting.

    Without a `backbone`, it is the first of three small ones that the method can use.
    """
    suite = Suite.model_validate({"about": "for tests", "train": [small_entry(method, backbone, **changes)]})
    (run, *_) = expand.expand(suite, Environment())
    assert isinstance(run, Run)
    return run


def small_entry(method: str = "plain", backbone: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The same, as a suite has it."""
    own = {name: changes.pop(name) for name in list(changes) if name in OF_TRAINING}
    return {
        "methods": [method],
        "datasets": [{"name": "synthetic", "options": IMAGES}],
        "backbones": [backbone or small_backbone(method)],
        "set": {**own, "recipe": {**RECIPE, "batch_size": batch_size(method), **changes}},
    }


def small_backbone(method: str) -> dict[str, Any]:
    """The first of a small CNN, Swin and ViT that the method can use."""
    name, variant = split_name(method)
    able = (
        one for one in (RESNET, SWIN, VIT) if not missing_attention(name, name, options_of(name, variant), one["name"])
    )
    return next(able)


def batch_size(method: str) -> int:
    """That of `RECIPE`, or the next one in which the images that a method takes together are whole."""
    name, variant = split_name(method)
    sampling = stand_in(name, name, options_of(name, variant)).sampling
    together = sampling.images_per_class or (2 if sampling.even else 1)
    return -(-int(RECIPE["batch_size"]) // together) * together


def train(run: Run, folder: Path, **execution: Any) -> TrainingResult:
    """Trains to the end, on the CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(run, Environment(execution=Execution(**execution)), folder, Silent()).train()


def outcome(trained: TrainingResult) -> dict[str, Any]:
    """All that two equal trainings have in common: weights, history but for its times, logits of each choice."""
    timings = ("seconds", "images_per_s")
    return {
        "weights": dict(trained.method.state_dict()),
        "history": [{k: v for k, v in row.items() if k not in timings} for row in trained.state.history],
        "chosen": {name: vars(choice) for name, choice in trained.state.chosen.items()},
    }


def equal(left: Any, right: Any) -> bool:
    """Whether two outcomes are the same, bit for bit."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    return bool(left == right)


def raise_once(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Makes the first call of plain's function `name` raise."""
    own, errors = getattr(Plain, name), [error]

    def raising(self: Plain, *arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return own(self, *arguments)

    monkeypatch.setattr(Plain, name, raising)


def interrupted_after_the_epochs(folder: Path, monkeypatch: pytest.MonkeyPatch, **execution: Any) -> TrainingResult:
    """A training that was interrupted after its last epoch and resumed."""
    raise_once(monkeypatch, "finish", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(small_run(), folder, **execution)
    return train(small_run(), folder, **execution)


class Interrupts(Silent):
    """Interrupts like Ctrl-C after so many batches (0: never), and keeps the notes."""

    def __init__(self, batches: int = 0) -> None:
        self.left, self.notes = batches, list[str]()

    def trained(self, images: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)
