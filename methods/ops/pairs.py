"""Pairs of images within a batch: who goes with whom, how far two are apart, and a mean over the pairs that there are.

All of it stays on the device: no shape depends on the labels, so an image without a partner keeps its place and is
marked instead of being left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from methods.ops.precision import at_least_float32


class Partners(NamedTuple):
    """One partner for each image of a batch."""

    position: Tensor
    """Its place in the batch, int64 `(B,)`; an image's own where it has no partner."""
    found: Tensor
    """Whether there is a partner, bool `(B,)`."""


def nearest(features: Tensor, labels: Tensor) -> tuple[Partners, Partners]:
    """The image nearest to each one of a batch, first within its class, then within all other classes.

    Features `(B, C)`, labels `(B,)`. Distances are Euclidean; of equally near images the first is taken, and no image
    is its own partner. An image that is alone in its class has no partner there, and where all images are of one class,
    none has a partner in another. No gradient flows through the choice.
    """
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        points = at_least_float32(features)
        # The differences themselves: |a|² + |b|² - 2ab is small beside its terms, and TF32 would round the products.
        distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        same_class = labels[:, None] == labels
        themselves = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        return _nearest_of(distances, same_class & ~themselves), _nearest_of(distances, ~same_class)


def _nearest_of(distances: Tensor, allowed: Tensor) -> Partners:
    """The nearest allowed column of each row, both `(B, B)`."""
    found = allowed.any(dim=1)
    themselves = torch.arange(len(distances), device=distances.device)
    closest = distances.masked_fill(~allowed, torch.inf).argmin(dim=1)
    return Partners(torch.where(found, closest, themselves), found)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances `(B,)` of the rows of two `(B, C)`, at least in float32.

    Its gradient is of length 1 wherever two rows differ, and 0 where they are the same.
    """
    return torch.linalg.vector_norm(at_least_float32(a) - at_least_float32(b), dim=1)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of those values that a bool tensor of the same shape counts; 0, with gradient 0, if it counts none."""
    return torch.where(counted, values, 0).sum() / counted.sum().clamp_min(1)
