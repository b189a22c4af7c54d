"""The bank of 1×1 filters with global max pooling, without holding all of its responses at once.

A 1×1 filter detects patches: its response at a position says how much the patch there (one receptive field) looks like
what the filter was trained to find. Only the largest response of each filter is used (conv6 and pool6 of the paper), so
only that one has a gradient. Written as convolution and pooling, one image of CUB at 448 px makes 2000 maps of 56 × 56,
keeps them for the backward pass and makes a gradient of that size that is almost all zeros. Here `CHUNK` filters are
taken at a time, only the position of each maximum is kept, and the gradient touches only these positions. Values and
gradients are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 256
"""Filters whose responses exist at the same time: 0.1 GB of bfloat16 for 64 images of 448 px on VGG-16."""


class _MaxResponse(torch.autograd.Function):
    """`(B, P, C)` features at P positions, `(F, C)` filters -> `(B, F)` largest responses, `(B, F)` where they are."""

    @staticmethod
    def forward(features: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
        best = [(features @ chunk.t()).max(dim=1) for chunk in filters.split(CHUNK)]
        return torch.cat([one.values for one in best], dim=1), torch.cat([one.indices for one in best], dim=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        features, filters, where = ctx.saved_tensors
        batch, positions, channels = features.shape
        rows = features.reshape(-1, channels)
        where = where + positions * torch.arange(batch, device=where.device)[:, None]
        # Many filters may share a position: they are summed in float32, as in the backward pass of a convolution.
        sums = torch.promote_types(features.dtype, torch.float32)
        by_row = torch.zeros(rows.shape, dtype=sums, device=rows.device)
        by_filter = []
        chunks = zip(filters.split(CHUNK), gradients[0].split(CHUNK, 1), where.split(CHUNK, 1), strict=True)
        for chunk, gradient, at in chunks:
            by_row.index_add_(0, at.flatten(), (gradient[:, :, None] * chunk).flatten(0, 1).to(sums))
            by_filter.append(torch.einsum("bf,bfc->fc", gradient, rows[at]))
        return by_row.view_as(features).to(features.dtype), torch.cat(by_filter)


def max_response(features: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Largest response of each filter over all positions, and where.

    `(B, C, h, w)` features, `(F, C)` filters -> `(B, F)` responses, `(B, F)` int64 positions in row-major order.
    """
    kind = features.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype
    rows = features.to(dtype).flatten(2).transpose(1, 2)
    return _MaxResponse.apply(rows, filters.to(dtype))


class FilterBank(nn.Module):
    """P-stream and side branch on one feature map: k filters for each of K classes (Sections 3.1, 3.2, 3.4).

    The filters of class i are rows i·k .. i·k + k - 1 of `filters.weight`, in the initialisation as in the pooling.
    """

    def __init__(self, channels: int, num_classes: int, filters_per_class: int) -> None:
        super().__init__()
        self.shape = (num_classes, filters_per_class)
        self.filters = nn.Linear(channels, num_classes * filters_per_class)
        self.classifier = nn.Linear(num_classes * filters_per_class, num_classes)

    def detect(self, features: Tensor) -> Tensor:
        """conv6 and pool6: `(B, C, h, w)` -> `(B, K·k)`, the largest response of each filter in the image."""
        response, _ = max_response(features, self.filters.weight)
        return response + self.filters.bias

    def side(self, response: Tensor) -> Tensor:
        """Cross-channel pooling: `(B, K·k)` -> logits `(B, K)`, the mean response of each class's own filters."""
        return response.unflatten(1, self.shape).mean(dim=2)

    def evidence(self, features: Tensor, classes: Tensor) -> Tensor:
        """Where the filters of `classes` `(B,)` respond: `(B, C, h, w)` -> `(B, k, h, w)`."""
        weight = self.filters.weight.unflatten(0, self.shape)[classes]
        bias = self.filters.bias.unflatten(0, self.shape)[classes]
        return (weight @ features.to(weight.dtype).flatten(2) + bias[:, :, None]).unflatten(2, features.shape[2:])
