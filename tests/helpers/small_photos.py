"""Batches of smooth, noisy images for the tests of augmentation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from datasets.loading.feed import Batch


def photos(count: int = 4, height: int = 70, width: int = 90, seed: int = 0) -> Tensor:
    """uint8 `(count, 3, height, width)`: smooth shapes with some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic") * 255
    return (smooth + 20 * torch.randn(smooth.shape, generator=generator)).clamp(0, 255).to(torch.uint8)


def batch_of(images: Tensor, sizes: Tensor | None = None) -> Batch:
    whole = torch.tensor(images.shape[-2:]).expand(len(images), 2)
    return Batch(images, whole if sizes is None else sizes, torch.zeros(len(images)), np.arange(len(images)))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
