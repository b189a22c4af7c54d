"""Precision of sums, norms and losses, whatever the network computes in."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it is in half precision, as it is otherwise; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
