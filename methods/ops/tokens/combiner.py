"""Confident tokens kept, the others suppressed, and a graph convolution that combines what was kept.

Chou, Lin, Kao, arXiv 2202.03822 (PIM), and Chou, Kao, Lin, arXiv 2303.06442 (HERBS), as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.options import check_share
from methods.ops.precision import at_least_float32
from methods.ops.tokens.pyramid import Grid
from methods.ops.tokens.selection import FADED


class Split(NamedTuple):
    """The N tokens of a level, split by their scores."""

    logits: Tensor
    """`(B, N, K)` of each token."""
    scores: Tensor
    """`(B, N)`."""
    kept: Tensor
    """Indices `(B, n)` of the tokens with the highest scores, the highest first."""
    dropped: Tensor
    """`(B, N)`: 1 for the other tokens, 0 for those that are kept."""


def kept_counts(shares: Sequence[float], grids: Sequence[Grid]) -> list[int]:
    """How many tokens each level keeps: its share of them, at least one, and one is left over where there are several.

    Raises `ValueError` unless each level has a share, from 0 to 1.
    """
    if len(shares) != len(grids):
        raise ValueError(f"keep has {len(shares)} shares for {len(grids)} levels; each level needs one")
    for share in shares:
        check_share("keep", share)
    return [max(1, min(round(share * grid.tokens), grid.tokens - 1)) for share, grid in zip(shares, grids, strict=True)]


def split(logits: Tensor, scores: Tensor, count: int) -> Split:
    """Splits off the `count` tokens with the highest of scores `(B, N)`; no gradient passes through the choice."""
    scores = scores.detach()
    kept = scores.topk(count, dim=1).indices
    return Split(logits, scores, kept, torch.ones_like(scores).scatter(1, kept, 0.0))


def selected(
    levels: Sequence[Tensor],
    classifiers: Iterable[nn.Module],
    counts: Sequence[int],
    score: Callable[[Tensor], Tensor],
) -> tuple[list[Split], Tensor]:
    """Classifies the tokens `(B, N, C)` of each level and splits them by `score` of their logits.

    Returns the split of each level, and the tokens `(B, n, C)` that all levels keep, one level after the other.
    """
    splits, kept = [], []
    for tokens, classify, count in zip(levels, classifiers, counts, strict=True):
        logits = at_least_float32(classify(tokens))
        splits.append(split(logits, score(logits), count))
        kept.append(gathered(tokens, splits[-1].kept))
    return splits, torch.cat(kept, dim=1)


def level_loss(split: Split, labels: Tensor) -> Tensor:
    """Cross-entropy of the mean logits of all tokens; labels `(B,)`, or probabilities `(B, K)`."""
    return F.cross_entropy(split.logits.mean(dim=1), labels)


def kept_loss(split: Split, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the kept tokens, each of which should tell the class alone."""
    logits = gathered(split.logits, split.kept)
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1], dim=0))


def suppression_loss(split: Split) -> Tensor:
    """Mean square of tanh(logit) + 1 over the classes of all dropped tokens: each logit is pushed far below 0.

    It is 0 where nothing was dropped.
    """
    squares = (split.logits.tanh() + 1).square().mean(dim=2)
    return (squares * split.dropped).sum() / split.dropped.sum().clamp_min(1)


def confidence(logits: Tensor) -> Tensor:
    """The probability `(B, N)` of each token's most likely class, from logits `(B, N, K)`."""
    return logits.softmax(dim=2).amax(dim=2)


def sum_of(losses: Iterable[Tensor]) -> Tensor:
    """Of the levels' losses, which are scalars."""
    return torch.stack(list(losses)).sum()


def log_mean_probability(several: Sequence[Tensor]) -> Tensor:
    """The mean of the probabilities that several logits `(B, K)` give, as its logarithm."""
    logs = torch.stack([logits.log_softmax(dim=1) for logits in several])
    return logs.logsumexp(dim=0) - math.log(len(several))


class GraphCombiner(nn.Module):
    """Logits `(B, K)` of all kept tokens together, `(B, n, features)`, level after level, the most confident first.

    A linear layer over the token axis makes J joints of them. One graph convolution mixes the joints by an adjacency
    matrix, which is learned, plus alpha times one that the joints make: entry (i, j) is tanh(q_i - k_j). Another linear
    layer makes one vector of the joints, which is classified. alpha begins at 0.
    """

    def __init__(self, tokens: int, joints: int, features: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.to_joints = nn.Linear(tokens, joints)
        self.adjacency = nn.Parameter((torch.eye(joints) + 1) / 100)
        self.alpha = nn.Parameter(torch.zeros(1))
        hidden = max(features // 4, 1)
        self.query, self.key = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.convolution = nn.Linear(features, features)
        self.norm = nn.BatchNorm1d(features)
        self.to_vector = nn.Linear(joints, 1)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(features, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        joints = self.to_joints(tokens.mT).mT  # (B, J, features)
        query, key = self.query(joints).mean(dim=2), self.key(joints).mean(dim=2)
        adjacency = self.adjacency + self.alpha * (query.unsqueeze(2) - key.unsqueeze(1)).tanh()  # (B, J, J)
        mixed = self.norm(self.convolution(joints).mT @ adjacency)  # (B, features, J)
        return self.classify(self.dropout(self.to_vector(mixed).squeeze(2)))


def gathered(tokens: Tensor, kept: Tensor) -> Tensor:
    """The kept ones `(B, n, C)` of tokens `(B, N, C)`, in the order of their scores."""
    return torch.take_along_dim(tokens, kept.unsqueeze(2), dim=1)


def foreground(images: Tensor, split: Split, grid: Grid) -> Tensor:
    """The images `(B, 3, H, W)` with the places of kept tokens as they are, and the rest at `FADED` of its contrast."""
    places = split.dropped[:, grid.prefix :].unflatten(1, grid[:2]).unsqueeze(1)
    dimmed = 1 - (1 - FADED) * F.interpolate(places, size=images.shape[2:], mode="nearest-exact")
    return images * dimmed.to(images.dtype)
