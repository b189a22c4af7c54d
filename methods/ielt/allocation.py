"""How many tokens each layer sends to the cross-layer refinement: a fixed number of places, shared out by weights."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Start = Literal["ends", "uniform"]
"""Shares of the layers before training. `ends`: the first and the last have 16/6 of the middle's; `uniform`: equal."""


class Places(NamedTuple):
    """Each of the places `(total,)`, layer after layer: whose token it holds."""

    layer: Tensor
    rank: Tensor
    """Which of the layer's tokens: 0 is the one with most votes."""


def starting_shares(layers: int, start: Start = "ends") -> Tensor:
    """Shares `(layers,)`, which sum to 1.

    `ends` is 16, 14, 12, 10, 8, 6, 8, …, 16 of 126 for the 11 layers of a ViT-B: straight lines down and up again, also
    for any other number of layers.
    """
    from_middle = torch.linspace(-1, 1, layers).abs() if layers > 1 else torch.ones(1)
    numbers = 6 + 10 * from_middle if start == "ends" else torch.ones(layers)
    return numbers / numbers.sum()


def places(shares: Tensor, total: int) -> Places:
    """Shares out `total` places by `(layers,)`; whose they are depends on the shares, the shapes don't.

    Layer l has the places from round(total · s_1 + … + total · s_(l-1)) on, so all numbers are whole, none is off by
    1 or more, and their sum is `total` exactly.
    """
    layers = len(shares)
    ends = (total * shares.expand(layers, layers).tril().sum(dim=1)).round().long()
    place = torch.arange(total, device=shares.device)
    layer = (place[:, None] >= ends).sum(dim=1).clamp(max=layers - 1)
    begins = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
    return Places(layer, place - begins[layer])


def count_layers(layer: Tensor, chosen: Tensor, layers: int) -> Tensor:
    """How many of an image's chosen places `(B, n)` hold a token of each layer: `(B, layers)`."""
    return (layer[chosen][:, :, None] == torch.arange(layers, device=layer.device)).sum(dim=1)


def moved(shares: Tensor, counts: Tensor, rate: float) -> Tensor:
    """The shares `(layers,)` after a step of `rate` towards those of the counts `(layers,)`; they sum to 1 again."""
    mixed = (1 - rate) * shares + rate * counts / counts.sum()
    return mixed / mixed.sum()
