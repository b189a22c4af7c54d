"""Attention regularisation: each part's feature is pulled towards the part's centre in its class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

Duplicates = Literal["all", "last"]


class Centres(nn.Module):
    """Feature centres c `(K, M·C)`: moving averages of the features of each class, not parameters.

    They start at 0. `normalised`: c is scaled to length 1 whenever it is read, in the loss and in the update; a
    replication (wvinzh's) measured about two points less on CUB without it. `duplicates`: which samples of one class
    in a batch move the centre: `all`, or only the `last`, as in PyTorch code that writes `centers[labels] += ...`.
    `rate` is β of the moving average; 1 - 0.95 in the authors' code.
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
        if not 0 <= rate <= 1:
            raise ValueError(f"centre_rate is {rate}; it must be from 0 to 1")
        if duplicates not in ("all", "last"):
            raise ValueError(f"duplicates is {duplicates!r}; it must be 'all' or 'last'")
        self.normalised, self.duplicates, self.rate = normalised, duplicates, rate
        self.register_buffer("centres", torch.zeros(num_classes, length))

    def read(self, labels: Tensor) -> Tensor:
        """The centres of labels `(B,)`: `(B, M·C)`."""
        centres = self.centres[labels]
        return F.normalize(centres, dim=1) if self.normalised else centres

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """L_A = mean over the batch of sum_k ||f_k - c_k||²: feature matrices `(B, M·C)`, labels `(B,)`."""
        return (features - self.read(labels)).square().sum(dim=1).mean()

    def update(self, features: Tensor, labels: Tensor) -> None:
        """c_k ← c_k + β·(f_k - c_k) for each sample, all from the centres as they were before the batch.

        If several processes share a batch, each contributes its samples and all end with the same centres.
        """
        change = self.rate * (features - self.read(labels))
        if self.duplicates == "last":
            same = labels[:, None] == labels
            change = change * ~same.triu(diagonal=1).any(dim=1, keepdim=True)
        change = change.to(self.centres.dtype)
        if distributed.is_available() and distributed.is_initialized():
            self.centres += self._over_processes(change, labels)
        else:
            self.centres.index_add_(0, labels, change)

    def _over_processes(self, change: Tensor, labels: Tensor) -> Tensor:
        """The sum of all processes' changes, `(K, M·C)`; a batch's order is that of the processes' ranks."""
        moves = torch.zeros_like(self.centres).index_add_(0, labels, change)
        if self.duplicates == "last":
            rank = distributed.get_rank()
            last = torch.full((len(moves),), -1, device=moves.device).index_fill_(0, labels, rank)
            distributed.all_reduce(last, distributed.ReduceOp.MAX)
            moves *= (last == rank)[:, None]
        distributed.all_reduce(moves)
        return moves
