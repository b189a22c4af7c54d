"""Centre loss: each sample's feature is pulled towards the centre of its class, a moving average.

WS-DAN's attention regularisation (arXiv 1901.09891, Eq. 4 and 5), where the feature is the matrix of all parts, so that
each part has its own centre in each class. CAL uses it unchanged.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import Gather, alone
from methods.ops.options import check_share, check_word

Duplicates = Literal["all", "last"]

Seen = tuple[Tensor, Tensor]
"""Features `(B, D)` without a gradient, and labels `(B,)`: what moves the centres after a step."""


class Centres(nn.Module):
    """Feature centres c `(K, D)`: moving averages of the features of each class, not parameters.

    They start at 0. `normalised`: c is scaled to length 1 whenever it is read, in the loss and in the update; a
    replication of WS-DAN (wvinzh's) measured about two points less on CUB without it. `duplicates`: which samples of
    one class in a batch move the centre: `all`, or only the `last`, as in PyTorch code that writes
    `centers[labels] += ...`. `rate` is β of the moving average; 0.05 in the code of WS-DAN's and of CAL's authors.
    """

    centres: Tensor

    def __init__(
        self,
        num_classes: int,
        length: int,
        normalised: bool = True,
        duplicates: Duplicates = "all",
        rate: float = 0.05,
    ) -> None:
        super().__init__()
        check_share("centre_rate", rate)
        check_word("duplicates", duplicates, get_args(Duplicates))
        self.normalised, self.duplicates, self.rate = normalised, duplicates, rate
        self.register_buffer("centres", torch.zeros(num_classes, length))

    def read(self, labels: Tensor) -> Tensor:
        """The centres of labels `(B,)`: `(B, D)`."""
        centres = self.centres[labels]
        return F.normalize(centres, dim=1) if self.normalised else centres

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch of ||f - c||²: features `(B, D)`, labels `(B,)`."""
        return (features - self.read(labels)).square().sum(dim=1).mean()

    def update(self, features: Tensor, labels: Tensor, gather: Gather = alone) -> None:
        """c ← c + β·(f - c) for each sample, all from the centres as they were before the batch.

        Where processes share a batch, `gather` brings its samples together, and all end with the same centres.
        """
        features, labels = gather(features), gather(labels)
        change = self.rate * (features - self.read(labels))
        if self.duplicates == "last":
            same = labels[:, None] == labels
            change = change * ~same.triu(diagonal=1).any(dim=1, keepdim=True)
        self.centres.index_add_(0, labels, change.to(self.centres.dtype))


def joined(earlier: Seen | None, later: Seen | None) -> Seen | None:
    """The samples of two parts of one batch, where the runner splits it."""
    if earlier is None or later is None:
        return later
    features, labels = zip(earlier, later, strict=True)
    return torch.cat(features), torch.cat(labels)
