"""Bilinear attention pooling: the feature of each part."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.outer_products import maximum_over_positions, sum_over_positions
from methods.ops.precision import at_least_float32

EPSILON = 1e-12
"""Under the square root, as in the authors' code: bounds its slope at 0 by 5e5."""


def bilinear_attention_pool(attention: Tensor, features: Tensor, maximum: bool = False) -> Tensor:
    """The feature matrix: part features f_k = g(A_k ⊙ F) of all maps, rooted and normalised together.

    A `(B, M, h, w)` and F `(B, C, h, w)` -> `(B, M·C)` of length 1, at least in float32. g is global average
    pooling, or global `maximum` pooling. The signed square root and the L2 norm over all of M·C are in the authors'
    code.
    """
    with torch.autocast(features.device.type, enabled=False):
        attention, features = attention.flatten(2), features.flatten(2)
        if maximum:
            parts = maximum_over_positions(at_least_float32(attention), at_least_float32(features))
        else:
            parts = average_parts(attention, features)
        parts = parts.sign() * (parts.abs() + EPSILON).sqrt()
        return F.normalize(parts.flatten(1), dim=1)


def average_parts(attention: Tensor, features: Tensor) -> Tensor:
    """Mean over positions of A_k ⊙ F: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`. One product; no A_k ⊙ F is made."""
    return sum_over_positions(attention, features) / attention.shape[2]
