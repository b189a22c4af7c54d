"""What keeps the modules sound: enough digits, and batch statistics where there are any."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def at_least_float32(x: Tensor) -> torch.dtype:
    """The type to sum and take norms of `x` in: its own, or float32 if that is finer."""
    return torch.promote_types(x.dtype, torch.float32)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of `(B, C, ...)`; a single value per channel is normalised by the running statistics.

    One image has no batch statistics where it is one vector; torch raises there, and a last batch of one would end a
    training.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of positions will do."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
