"""The networks and batches on which a device is checked: small ones that come with the project, and real sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import methods
from benchmarks.planning import method_files
from methods.backbones import TimmBackbones
from methods.errors import BackboneError
from methods.interface import Method

CLASSES = 5
SIZE = 96
BATCH = 8


@dataclass(frozen=True)
class Network:
    """A timm network with its options, and the name of its weights."""

    name: str
    options: Mapping[str, Any]
    weights: str = "none"


SMALL = (
    Network("test_resnet", {}, "test_resnet_birds"),
    Network(
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 32, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 6},
        "test_swin_birds",
    ),
    Network(
        "vit_tiny_patch16_224",
        {"patch_size": 12, "embed_dim": 96, "depth": 6, "num_heads": 4},
        "test_vit_birds",
    ),
)
"""Trained weights come with the project: rounding grows less in a trained network than in a random one."""


def serving(method: str) -> Iterator[tuple[Network, Method]]:
    """The small networks on which the method works, each with the method built on it; at last that of its recipe."""
    for network in (*SMALL, Network(method_files.method_file(method).recipe.backbone, {})):
        torch.manual_seed(0)
        source = TimmBackbones(network.name, SIZE, network.weights, options=network.options)
        try:
            built = methods.load(method)(source, CLASSES, **method_files.options_of(method, "paper"))
        except BackboneError:
            continue
        yield network, built


def small_network(method: str) -> Network:
    """The first network that serves the method. Raises `BackboneError` if none does."""
    return _first(method)[0]


def small_method(method: str) -> Method:
    """The method on that network, on the CPU."""
    return _first(method)[1]


def _first(method: str) -> tuple[Network, Method]:
    for found in serving(method):
        return found
    raise BackboneError(f"{method} works on none of the small networks, nor on the one of its recipe")


def small_batch(count: int = BATCH, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Smooth random images `(count, 3, size, size)` and labels `(count,)`, two images of each class."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    fine = 0.3 * torch.randn(count, 3, size, size, generator=generator)
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic") + fine
    return images, torch.arange(count) // 2 % CLASSES
