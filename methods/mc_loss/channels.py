"""MC-Loss on channels that belong to classes: the first ones to class 0, the next ones to class 1, and so on.

Where C channels can't be shared out evenly to K classes, the last C mod K classes have one more than the others: 2048
channels are 10 for each of 152 classes and 11 for each of 48.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from methods.ops.precision import at_least_float32

Over = Literal["classes", "sizes"]
"""Over what the diversity is averaged; see `diversity`."""


def by_class(values: Tensor, classes: int) -> list[Tensor]:
    """`(B, C, …)` -> views `(B, k, s, …)` of the k classes that have s channels each; two where C / K is uneven."""
    size, larger = divmod(values.shape[1], classes)
    smaller = classes - larger
    views = [values[:, : smaller * size].unflatten(1, (smaller, size))]
    if larger:
        views.append(values[:, smaller * size :].unflatten(1, (larger, size + 1)))
    return views


def cross_channel_max(maps: Tensor, classes: int) -> Tensor:
    """CCMP: at each position the largest value of each class's channels, `(B, C, …)` -> `(B, K, …)`."""
    return torch.cat([part.amax(dim=2) for part in by_class(maps, classes)], dim=1)


def channel_mask(channels: int, classes: int, dropped: float, device: torch.device) -> Tensor:
    """CWA: 1 for the channels that are kept, 0 for ⌊dropped · s⌋ random ones of the s of each class, `(1, C, 1, 1)`."""
    parts = []
    for noise in by_class(torch.rand(1, channels, device=device), classes):
        kept = noise.shape[2] - int(dropped * noise.shape[2])
        parts.append((noise.argsort(dim=2) < kept).flatten(1))  # the numbers 0 .. s - 1 in random order
    return torch.cat(parts, dim=1)[:, :, None, None]


def class_responses(maps: Tensor, classes: int) -> Tensor:
    """CCMP and GAP: logits `(B, K)` of maps `(B, C, h, w)`, at least in float32."""
    return at_least_float32(cross_channel_max(maps, classes)).mean(dim=(2, 3))


def diversity(maps: Tensor, classes: int, over: Over) -> Tensor:
    """1 - (the mean of h) / s: 0 where the s channels of a class respond at different positions, maps `(B, C, h, w)`.

    h = sum over positions of the largest value of the class's channels, each of which a softmax over the positions has
    brought to the sum 1; h is from 1 to s. `over`: `classes` is the mean over all of them; `sizes` is the sum over the
    numbers of channels that there are, in each of which the mean is taken (released code with 10 and 11).
    """
    spread = at_least_float32(maps.flatten(2)).softmax(dim=2)
    terms = [1 - part.amax(dim=2).sum(dim=2) / part.shape[2] for part in by_class(spread, classes)]
    if over == "sizes":
        return torch.stack([term.mean() for term in terms]).sum()
    return torch.cat(terms, dim=1).mean()
