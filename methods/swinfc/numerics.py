"""Numerical details of the modules: batch normalisation of a single value."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
