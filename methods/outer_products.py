"""Pooling of the outer products of two maps."""

from __future__ import annotations

import torch
from torch import Tensor


def maximum_over_positions(a: Tensor, b: Tensor) -> Tensor:
    """The largest value that each product a_m · b_c has at any of N positions: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`.

    First the places of the maxima are found, one row of `a` after the other and without a gradient; then only their
    values are computed. So the backward pass keeps M·C places instead of M·C·N products.
    """
    with torch.no_grad():
        where = torch.stack([(one[:, None] * b).argmax(dim=2) for one in a.unbind(1)], dim=1)
    return a.gather(2, where) * b.gather(2, where.transpose(1, 2)).transpose(1, 2)
