"""Bilinear attention pooling: the feature of each part."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.precision import at_least_float32

EPSILON = 1e-12
"""Under the square root, as in the authors' code: bounds its slope at 0 by 5e5."""


def bilinear_attention_pool(attention: Tensor, features: Tensor, maximum: bool = False) -> Tensor:
    """The feature matrix: part features f_k = g(A_k ⊙ F) of all maps, rooted and normalised together.

    A `(B, M, h, w)` and F `(B, C, h, w)` -> `(B, M·C)` of length 1, at least in float32. g is global average
    pooling, or global `maximum` pooling. The signed square root and the L2 norm over all of M·C are in the authors'
    code.
    """
    with torch.autocast(features.device.type, enabled=False):
        attention, features = (at_least_float32(one).flatten(2) for one in (attention, features))
        parts = maximum_parts(attention, features) if maximum else average_parts(attention, features)
        parts = parts.sign() * (parts.abs() + EPSILON).sqrt()
        return F.normalize(parts.flatten(1), dim=1)


def average_parts(attention: Tensor, features: Tensor) -> Tensor:
    """Mean over positions of A_k ⊙ F: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`. One product; no A_k ⊙ F is made."""
    return attention @ features.transpose(1, 2) / attention.shape[2]


def maximum_parts(attention: Tensor, features: Tensor) -> Tensor:
    """Maximum over positions of A_k ⊙ F: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`.

    First where the maxima are, map by map and without a gradient, then only their values: what the gradient needs is
    M·C places instead of M·C·N products.
    """
    with torch.no_grad():
        where = torch.stack([(one[:, None] * features).argmax(dim=2) for one in attention.unbind(1)], dim=1)
    return attention.gather(2, where) * features.gather(2, where.transpose(1, 2)).transpose(1, 2)
