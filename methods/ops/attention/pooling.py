"""Attention maps by a convolution, and bilinear attention pooling: the feature of each part."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.precision import at_least_float32
from methods.ops.second_order.outer_products import maximum_over_positions, sum_over_positions

EPSILON = 1e-12
"""Under the square root, as in the code of WS-DAN's authors: bounds its slope at 0 by 5e5."""


def attention_convolution(channels: int, maps: int) -> nn.Sequential:
    """A = f(F): 1x1 convolution, BN, ReLU. Without the ReLU the pooled feature would be linear in A.

    BN has Inception's epsilon, 0.001, as in the code of WS-DAN and CAL.
    """
    return nn.Sequential(nn.Conv2d(channels, maps, 1, bias=False), nn.BatchNorm2d(maps, eps=1e-3), nn.ReLU())


def bilinear_attention_pool(
    attention: Tensor, features: Tensor, maximum: bool = False, epsilon: float = EPSILON
) -> Tensor:
    """The feature matrix: part features f_k = g(A_k ⊙ F) of all maps, rooted and normalised together.

    A `(B, M, h, w)` and F `(B, C, h, w)` -> `(B, M·C)` of length 1, at least in float32. g is global average
    pooling, or global `maximum` pooling. The signed square root, sign(x)·sqrt(|x| + epsilon), and the L2 norm over all
    of M·C are in the code of WS-DAN's authors, and of CAL's with an epsilon of 1e-6.
    """
    with torch.autocast(features.device.type, enabled=False):
        attention, features = attention.flatten(2), features.flatten(2)
        if maximum:
            parts = maximum_over_positions(at_least_float32(attention), at_least_float32(features))
        else:
            parts = average_parts(attention, features)
        parts = parts.sign() * (parts.abs() + epsilon).sqrt()
        return F.normalize(parts.flatten(1), dim=1)


def average_parts(attention: Tensor, features: Tensor) -> Tensor:
    """Mean over positions of A_k ⊙ F: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`. One product; no A_k ⊙ F is made."""
    return sum_over_positions(attention, features) / attention.shape[2]
