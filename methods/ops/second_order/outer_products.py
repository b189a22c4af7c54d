"""Pooling of the outer products of two maps.

bfloat16 has 8 significant bits and float32 has 24, so the product of two bfloat16 numbers is exact in float32. A GPU's
tensor cores form such products and add them up in float32. `sum_over_positions` asks for the sums as they are; a plain
product of bfloat16 matrices would round them to bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import bmm_flop, register_flop_formula

from methods.ops.precision import at_least_float32


def sum_over_positions(a: Tensor, b: Tensor) -> Tensor:
    """The sum of each product a_m · b_c over N positions: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`, at least float32.

    Of two bfloat16 maps no product is rounded, and the sums are float32. Their gradients are bfloat16 too; in computing
    them, the gradient of the sums is rounded to bfloat16 once, as everywhere under autocast.
    """
    with torch.autocast(a.device.type, enabled=False):
        if a.dtype == b.dtype == torch.bfloat16:
            return torch.ops.fgbench.float32_product(a, b.transpose(1, 2))
        return at_least_float32(a) @ at_least_float32(b).transpose(1, 2)


@torch.library.custom_op("fgbench::float32_product", mutates_args=())
def _float32_product(a: Tensor, b: Tensor) -> Tensor:
    """Products of bfloat16 matrices, `(B, M, N)`, `(B, N, C)` -> float32 `(B, M, C)`.

    An operator of our own because torch 2.9 can't compile `bmm` with an `out_dtype` (pytorch issue 165892), and because
    a CPU has no such product: there float32 takes its place, in which the same products are exact.
    """
    if a.is_cuda:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


@_float32_product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], a.shape[1], b.shape[2], dtype=torch.float32)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    a, b = ctx.saved_tensors
    rounded = gradient.to(a.dtype)
    return rounded @ b.transpose(1, 2), a.transpose(1, 2) @ rounded


_float32_product.register_autograd(_gradients, setup_context=_keep)
register_flop_formula(torch.ops.fgbench.float32_product, get_raw=True)(bmm_flop)


def maximum_over_positions(a: Tensor, b: Tensor) -> Tensor:
    """The largest value that each product a_m · b_c has at any of N positions: `(B, M, N)`, `(B, C, N)` -> `(B, M, C)`.

    First the places of the maxima are found, one row of `a` after the other and without a gradient; then only their
    values are computed. So the backward pass keeps M·C places instead of M·C·N products.
    """
    with torch.no_grad():
        where = torch.stack([(one[:, None] * b).argmax(dim=2) for one in a.unbind(1)], dim=1)
    return a.gather(2, where) * b.gather(2, where.transpose(1, 2)).transpose(1, 2)
