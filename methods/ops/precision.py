"""Precision of sums, norms and losses, whatever the network computes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it is in half precision, as it is otherwise; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@contextmanager
def full_float32() -> Iterator[None]:
    """Within a block or a decorated function, `--precision tf32` does not round the factors of float32 products.

    For what is computed once, from which a solver or a clustering starts: TF32 keeps 11 of 24 significant bits.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
