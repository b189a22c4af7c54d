"""Multi-head voting: every head of a block votes for the tokens that its class token attends to most.

Counts of votes are whole numbers, and many are equal. Of equal ones the earlier token comes first, so that an image's
choice depends neither on its batch nor on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32


def class_scores(queries: Tensor, keys: Tensor, prefix: int) -> Tensor:
    """How strongly the class token asks each other token, before the softmax, which keeps the order.

    Queries and keys `(B, heads, N, d)` -> `(B, heads, N - prefix)`, at least float32; the first `prefix` tokens are
    the class token and others that are no candidates.
    """
    query, key = at_least_float32(queries[:, :, :1]), at_least_float32(keys[:, :, prefix:])
    with torch.autocast(query.device.type, enabled=False):
        return (query @ key.mT).squeeze(2)


def count_votes(scores: Tensor, votes: int) -> Tensor:
    """Each head votes for the `votes` tokens of its highest scores: `(B, heads, n)` -> counts `(B, n)`."""
    chosen = scores.topk(votes, dim=2).indices
    return torch.zeros_like(scores).scatter(2, chosen, 1.0).sum(dim=1)


def smoothed(counts: Tensor, grid: tuple[int, int]) -> Tensor:
    """Counts `(B, h·w)` on their grid, filtered by [[1, 2, 1], [2, 4, 2], [1, 2, 1]]; nothing outside it: `(B, h·w)`.

    The filter is [1, 2, 1] down and then across. Sums of whole numbers are exact.
    """
    padded = F.pad(counts.unflatten(1, grid), (1, 1, 1, 1))
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]).flatten(1)


def ranking(counts: Tensor) -> Tensor:
    """Numbers of the tokens `(B, n)`, those with most votes first and equal ones in their order."""
    return counts.sort(dim=1, descending=True, stable=True).indices
