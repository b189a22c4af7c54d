"""Covariance pooling and the square root of its matrix by Newton-Schulz iterations.

Li, Xie, Wang, Gao, "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
Normalization", CVPR 2018 (arXiv 1712.01034). Matrix products alone, so a GPU needs no eigendecomposition.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.ops.outer_products import sum_over_positions
from methods.ops.precision import at_least_float32

SCALES = ("trace", "frobenius")

TINY = 1e-10
"""Smallest scale that a covariance is divided by: where a map is the same everywhere, its root is 0 and not NaN."""


def covariance(maps: Tensor) -> Tensor:
    """Covariance of the channels over positions, Σ = X Ī Xᵀ with Ī = (I - 11ᵀ / N) / N: `(B, C, h, w)` -> `(B, C, C)`.

    At least in float32.
    """
    x = at_least_float32(maps).flatten(2)
    x = x - x.mean(dim=2, keepdim=True)
    return sum_over_positions(x, x) / x.shape[2]


def matrix_root(matrix: Tensor, iterations: int = 5, scale: str = "trace", compensate: bool = True) -> Tensor:
    """Approximate square roots of symmetric positive semidefinite matrices `(B, C, C)`, at least in float32.

    The matrix is divided by its trace, or its Frobenius norm, so that the iteration converges (pre-normalisation). From
    Y = A and Z = I come Y ← ½ Y (3I - Z Y) and Z ← ½ (3I - Z Y) Z, where Y tends to the root. The root of what the
    matrix was divided by is multiplied back (post-compensation). Z is not computed in the last round.
    """
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; it must be one of {', '.join(SCALES)}")
    if iterations < 1:
        raise ValueError(f"iterations are {iterations}; there must be at least 1")
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = at_least_float32(matrix)
        size = _trace(matrix) if scale == "trace" else matrix.square().sum(dim=(1, 2)).clamp_min(TINY**2).sqrt()
        size = size.clamp_min(TINY)[:, None, None]
        three = 3 * torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
        y = matrix / size
        step = (three - y) / 2  # Z is I at first
        y, z = y @ step, step
        for _ in range(iterations - 2):
            step = (three - z @ y) / 2
            y, z = y @ step, step @ z
        if iterations > 1:
            y = y @ (three - z @ y) / 2
        return y * size.sqrt() if compensate else y


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(dim=1)


def upper_triangle(matrix: Tensor) -> Tensor:
    """The entries on and above the diagonal, row after row: `(B, C, C)` -> `(B, C (C + 1) / 2)`."""
    size = matrix.shape[1]
    rows, columns = torch.triu_indices(size, size, device=matrix.device)
    return matrix.flatten(1).index_select(1, rows * size + columns)
