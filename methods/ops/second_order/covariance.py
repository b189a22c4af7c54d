"""Covariance pooling and the square root of its matrix by Newton-Schulz iterations.

Li, Xie, Wang, Gao, "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
Normalization", CVPR 2018 (arXiv 1712.01034). Matrix products alone, so a GPU needs no eigendecomposition.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.ops.options import check_word
from methods.ops.precision import at_least_float32
from methods.ops.second_order.outer_products import sum_over_positions

SCALES = ("trace", "frobenius")

TINY = 1e-10
"""Smallest scale that a covariance is divided by: where a map is the same everywhere, its root is 0 and not NaN."""


def covariance(maps: Tensor) -> Tensor:
    """Covariance of the channels over positions, Σ = X Ī Xᵀ with Ī = (I - 11ᵀ / N) / N: `(B, C, h, w)` -> `(B, C, C)`.

    At least in float32.
    """
    x = centred(maps)
    return sum_over_positions(x, x) / x.shape[2]


def centred(maps: Tensor) -> Tensor:
    """Maps less their mean over positions, `(B, C, h, w)` -> `(B, C, N)`, at least in float32."""
    x = at_least_float32(maps).flatten(2)
    return x - x.mean(dim=2, keepdim=True)


def matrix_root(matrix: Tensor, iterations: int = 5, scale: str = "trace", compensate: bool = True) -> Tensor:
    """Approximate square roots of symmetric positive semidefinite matrices `(B, C, C)`, at least in float32.

    The matrix is divided by its trace, or its Frobenius norm, so that the iteration converges (pre-normalisation). From
    Y = A and Z = I come Y ← ½ Y (3I - Z Y) and Z ← ½ (3I - Z Y) Z, where Y tends to the root. The root of what the
    matrix was divided by is multiplied back (post-compensation).
    """
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = at_least_float32(matrix)
        size = _size(matrix, scale)
        y, _, last = _iterate(matrix / size, iterations)
        return y @ last * (size.sqrt() if compensate else 1)


def covariance_root(maps: Tensor, iterations: int = 5, scale: str = "trace", compensate: bool = True) -> Tensor:
    """`matrix_root` of `covariance(maps)`: `(B, C, h, w)` -> `(B, C, C)`, in the cheaper of two exact forms.

    Of fewer positions N than channels the covariance X Xᵀ / N (X centred) has no more rank than K = Xᵀ X / N, with its
    trace and norm. Y = A Z stays true, as both are polynomials of A, and A Z(A) = X Z(K) Xᵀ / N: K, `(N, N)`, takes
    the iterations.
    """
    channels, positions = maps.shape[1], maps.shape[2:].numel()
    if positions >= channels:
        return matrix_root(covariance(maps), iterations, scale, compensate)
    with torch.autocast(maps.device.type, enabled=False):
        x = centred(maps) / positions**0.5
        gram = x.transpose(1, 2) @ x
        size = _size(gram, scale)
        _, z, last = _iterate(gram / size, iterations)
        inner = last if z is None else last @ z
        return x @ inner @ x.transpose(1, 2) / (size.sqrt() if compensate else size)


def _size(matrix: Tensor, scale: str) -> Tensor:
    """What a matrix is divided by, `(B, 1, 1)`."""
    check_word("scale", scale, SCALES)
    if scale == "trace":
        size = matrix.diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(TINY)
    else:
        size = matrix.square().sum(dim=(1, 2)).clamp_min(TINY**2).sqrt()
    return size[:, None, None]


def _iterate(a: Tensor, iterations: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """Y and Z before the last round, and its factor: the last Y is Y · factor, the last Z factor · Z. Z = I is None."""
    if iterations < 1:
        raise ValueError(f"iterations are {iterations}; there must be at least 1")
    three = 3 * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    y, z, step = a, None, (three - a) / 2
    for _ in range(iterations - 1):
        y, z = y @ step, step if z is None else step @ z
        step = (three - z @ y) / 2
    return y, z, step


def upper_triangle(matrix: Tensor) -> Tensor:
    """The entries on and above the diagonal, row after row: `(B, C, C)` -> `(B, C (C + 1) / 2)`."""
    size = matrix.shape[1]
    rows, columns = torch.triu_indices(size, size, device=matrix.device)
    return matrix.flatten(1).index_select(1, rows * size + columns)
