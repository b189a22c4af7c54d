"""Sums over positions of products of two projections, y_k = Σ_l (u_k · a_l) (v_k · b_l), in the cheaper of two forms.

Both are exact. As written, all d projections of each position are made and kept. But y_k = u_kᵀ (Σ_l a_l b_lᵀ) v_k:
from the sum of the outer products they follow at once, whatever the number of positions. Of N positions and C
channels the first form takes N·C·d multiplications for each projection and keeps N·d numbers, the second takes C²·d for
each pair and keeps C².
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from methods.ops.precision import at_least_float32
from methods.ops.second_order.outer_products import sum_over_positions


def outer_products_pay(maps: Tensor) -> bool:
    """Whether the second form is the cheaper one for maps `(B, C, N)`.

    For maps in half precision it is not: their projections are products in half precision, many times as fast.
    """
    return maps.shape[2] >= maps.shape[1] and maps.dtype in (torch.float32, torch.float64)


def sum_of_products(p: Tensor, q: Tensor) -> Tensor:
    """The sum of p ∘ q over positions: projections `(B, d, N)` twice -> `(B, d)`, added up at least in float32."""
    return (p * q).sum(dim=2, dtype=torch.promote_types(p.dtype, torch.float32))


def sum_of_projected_products(a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """y `(B, d)` of maps a `(B, M, N)` and b `(B, C, N)`, projected by u `(d, M)` and v `(d, C)`; at least float32."""
    if outer_products_pay(a):
        return bilinear_forms(sum_over_positions(a, b), u, v)
    return sum_of_products(u @ a, v @ b)


def bilinear_forms(products: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """u_kᵀ G v_k of sums of outer products G `(B, M, C)`: `(d, M)`, `(d, C)` -> `(B, d)`, at least in float32."""
    with torch.autocast(products.device.type, enabled=False):
        return _BilinearForms.apply(*(at_least_float32(one) for one in (products, u, v)))


class _BilinearForms(torch.autograd.Function):
    """Autograd would keep U G, `(B, d, C)`, which the gradients can do without."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(products, u, v)
        return ((u @ products) * v).sum(dim=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        products, u, v = ctx.saved_tensors
        of_products, of_u, of_v = ctx.needs_input_grad
        for_products = (gradient[:, None] * u.T) @ v if of_products else None
        # one product each, which adds up over the images: (d, B C) by (B C, M)
        for_u = _scaled(gradient, v) @ products.transpose(1, 2).flatten(0, 1) if of_u else None
        for_v = _scaled(gradient, u) @ products.flatten(0, 1) if of_v else None
        return for_products, for_u, for_v


def _scaled(gradient: Tensor, rows: Tensor) -> Tensor:
    """Row k times each image's g_k, side by side: `(B, d)`, `(d, C)` -> `(d, B·C)`."""
    return (gradient.T[:, :, None] * rows[:, None]).flatten(1)
