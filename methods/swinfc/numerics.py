"""Numerical details of the modules: precision of sums, and batch normalisation of a single value."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def at_least_float32(x: Tensor) -> torch.dtype:
    """The type to sum and take norms of `x` in: its own, or float32 if that is finer."""
    return torch.promote_types(x.dtype, torch.float32)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of `(B, C, ...)`; a single value per channel is normalised by the running statistics.

    A single vector has no batch statistics. torch raises an error then, so a last batch of one image would end the
    training.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts any number of positions."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
