"""Methods that combine tokens of a network's levels (PIM, HERBS), on a small network of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.interface import Method
from tests.helpers.methods_under_test import CLASSES, SIZE, TINY_SWIN, TINY_VIT

NETWORKS: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "swin_tiny_patch4_window7_224": TINY_SWIN,
    "vit_tiny_patch16_224": TINY_VIT,
}
M = TypeVar("M", bound=Method)


def small(kind: Callable[..., M], network: str = "swin_tiny_patch4_window7_224", **options: Any) -> M:
    """The method on one of `NETWORKS`, with the same weights each time."""
    torch.manual_seed(0)
    return kind(TimmBackbones(network, SIZE, options=NETWORKS[network]), CLASSES, features=16, **options)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    """Images `(count, 3, SIZE, SIZE)` and their labels, each class once."""
    images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(count) % CLASSES
