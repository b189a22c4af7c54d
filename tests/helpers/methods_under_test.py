"""Every method on a network small enough for a CPU, and what tests of the contract do with it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import methods
from benchmarks.errors import UserError
from benchmarks.planning import method_files
from methods.backbones import BackboneError, TimmBackbones
from methods.interface import Method

CLASSES = 5
SIZE = 96
BATCH = 4
"""Fewer images than classes, as in any real batch."""

TINY_SWIN = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 3}
TINY_VIT = {"embed_dim": 32, "depth": 4, "num_heads": 4}


@dataclass(frozen=True)
class Subject:
    """A method under test. It is built once; each test gets a copy of its own."""

    name: str
    built: Method

    def copy(self) -> Method:
        return copy.deepcopy(self.built)


def small_networks(method: str) -> list[tuple[str, dict[str, Any]]]:
    """timm networks to try in turn: small ones, and at last the one of the method's own recipe."""
    tiny: list[tuple[str, dict[str, Any]]] = [
        ("test_resnet", {}),
        ("swin_tiny_patch4_window7_224", TINY_SWIN),
        ("vit_tiny_patch16_224", TINY_VIT),
    ]
    return [*tiny, (method_files.method_file(method).recipe.backbone, {})]


def build(
    method: str,
    variant: str = "paper",
    classes: int = CLASSES,
    size: int = SIZE,
    seed: int = 0,
    checkpointing: bool = False,
) -> Method:
    """The variant on the first small network that serves it."""
    refusals = []
    for name, options in small_networks(method):
        torch.manual_seed(seed)
        try:
            source = TimmBackbones(name, size, options=options, checkpointing=checkpointing)
            return methods.load(method)(source, classes, **method_files.options_of(method, variant))
        except BackboneError as refusal:
            refusals.append(f"{name}: {refusal}")
    raise AssertionError(f"no network at hand serves {method}, variant {variant}: {'; '.join(refusals)}")


def images_and_labels(count: int, size: int = SIZE, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth random images and labels; one class twice where there is room, as pairwise losses want it."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    fine = 0.3 * torch.randn(count, 3, size, size, generator=generator)
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic") + fine
    return images, torch.arange(count) // 2 % CLASSES


def total_loss(method: Method, batch: tuple[Tensor, Tensor], seed: int = 0) -> Tensor:
    """Sum of all losses of all optimiser steps of a batch, with the method's own draws fixed."""
    torch.manual_seed(seed)
    return torch.stack([sum(losses.values(), torch.zeros(())) for losses in method.steps(*batch)]).sum()


def train_once(method: Method, batch: tuple[Tensor, Tensor]) -> None:
    """What the runner does with a batch."""
    method.train()
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-4)
    torch.manual_seed(0)
    for losses in method.steps(*batch):
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        method.after_step()


def logits_of(method: Method, images: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        return method.eval()(images)


def assert_near(left: Tensor, right: Tensor, tolerance: float) -> None:
    """Largest difference, relative to the largest value of `right`."""
    left, right = left.detach().float(), right.detach().float()
    worst = ((left - right).abs().max() / right.abs().max()).item()
    assert worst <= tolerance, f"differs by {worst:.2e} of the largest value, more than {tolerance:.0e}"


def variants() -> list[tuple[str, str]]:
    """All (method, variant); a recipe that can't be read leaves the default, whose own checks then say why."""
    pairs = []
    for method in methods.available():
        try:
            names = list(method_files.method_file(method).variants)
        except UserError:
            names = ["paper"]
        pairs += [(method, name) for name in names]
    return pairs
