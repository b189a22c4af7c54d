"""Cross-layer bilinear pooling: projections of two layers are multiplied at each position and added up over all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.precision import at_least_float32
from methods.ops.second_order.outer_products import sum_over_positions
from methods.ops.second_order.projected_products import bilinear_forms, outer_products_pay, sum_of_products


class Projection(nn.Module):
    """Uᵀx + b at each position, `(B, C, N)` -> `(B, d, N)`; uniform weights of variance 1 / C, as Caffe's "xavier"."""

    def __init__(self, channels: int, dimension: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / channels)
        self.weight = nn.Parameter(torch.empty(dimension, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(dimension))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight @ x + self.bias[:, None]


class PortProjection(nn.Sequential):
    """The projection of luyao777's port: no bias, batch norm, ReLU; `(B, C, N)` -> `(B, d, N)`."""

    def __init__(self, channels: int, dimension: int) -> None:
        convolution = nn.Conv1d(channels, dimension, 1, bias=False)
        nn.init.xavier_normal_(convolution.weight)
        super().__init__(convolution, nn.BatchNorm1d(dimension), nn.ReLU())


def cross_layer_pool(
    maps: Sequence[Tensor], projections: Sequence[nn.Module], pairs: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Σ_l (U_i x_i,l) ∘ (U_j x_j,l) for each pair (i, j): maps `(B, C, N)` -> a vector `(B, d)` each.

    At least in float32. Where it is cheaper, the sums come from those of the outer products, and no map is projected.
    """
    plain = [one for one in projections if isinstance(one, Projection)]
    if len(plain) == len(projections) and all(outer_products_pay(one) for one in maps):
        return [_from_outer_products(maps[i], maps[j], plain[i], plain[j]) for i, j in pairs]
    projected = [project(one) for project, one in zip(projections, maps, strict=True)]
    return [sum_of_products(projected[i], projected[j]) for i, j in pairs]


def _from_outer_products(x: Tensor, y: Tensor, u: Projection, v: Projection) -> Tensor:
    """Σ_l (Ux_l + b) ∘ (Vy_l + c) multiplied out; `(B, C, N)` twice -> `(B, d)`."""
    with torch.autocast(x.device.type, enabled=False):
        products = bilinear_forms(sum_over_positions(x, y), u.weight, v.weight)
        of_x, of_y = F.linear(x.sum(dim=2), u.weight), F.linear(y.sum(dim=2), v.weight)
        return products + of_x * v.bias + of_y * u.bias + x.shape[2] * u.bias * v.bias


def on_one_grid(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps `(B, C, h, w)`, C of each map, averaged over the cells of the smallest; as they are if all have its size.

    The windows are those of adaptive average pooling, whose gradient on a GPU is not the same each time.
    """
    height, width = min(one.shape[2] for one in maps), min(one.shape[3] for one in maps)
    return [one if one.shape[2:] == (height, width) else _averaged(one, height, width) for one in maps]


def _averaged(x: Tensor, height: int, width: int) -> Tensor:
    """At least in float32, also under autocast, and rounded once to the type of `x`."""
    rows, columns = _windows(x.shape[2], height, x), _windows(x.shape[3], width, x)
    with torch.autocast(x.device.type, enabled=False):
        return (rows @ at_least_float32(x) @ columns.T).to(x.dtype)


def _windows(size: int, cells: int, like: Tensor) -> Tensor:
    """Weights of each place in each cell's mean, `(cells, size)`."""
    place, cell = torch.arange(size, device=like.device), torch.arange(cells, device=like.device)[:, None]
    first, end = cell * size // cells, -(-(cell + 1) * size // cells)
    inside = ((place >= first) & (place < end)).to(torch.promote_types(like.dtype, torch.float32))
    return inside / inside.sum(dim=1, keepdim=True)
