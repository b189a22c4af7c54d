"""A backbone's stages as a pyramid of tokens, its top-down and bottom-up paths, and classifiers of every token.

Chou, Lin, Kao, "A Novel Plug-in Module for Fine-Grained Visual Classification", arXiv 2202.03822, and its follow-up,
arXiv 2303.06442; the numbers are those of the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Tap

SWIN_TAPS: tuple[Tap, ...] = ("merged_8", "merged_16", "merged_32", 32)
CNN_TAPS: tuple[Tap, ...] = (4, 8, 16, 32)
VIT_BLOCKS = (-4, -3, -2, -1)
SWINS = re.compile(r"swin(v2)?_(?!cr_)")
VITS = re.compile(r"(test_)?(vit|deit3?|beit(v2)?|eva(02)?)_")
"""Beginnings of timm's names; what else has such a name is refused by the backbone."""


class Grid(NamedTuple):
    """The places of a level's tokens: `prefix` tokens without a place (a class token), then h rows of w."""

    height: int
    width: int
    prefix: int = 0

    @property
    def tokens(self) -> int:
        """N, their number."""
        return self.prefix + self.height * self.width


class TokenLevels(nn.Module):
    """A backbone: images `(B, 3, H, W)` -> tokens `(B, N_l, C_l)` of each level l, the finest first.

    A Swin is read behind each patch merging and at its end, before the last norm, as the authors' copy of timm gives
    its stages; a ViT after each of its last four blocks, class token and all; any other network at strides 4, 8, 16 and
    32. `taps` are others.

    Raises `BackboneError` for a network that has no such maps.
    """

    def __init__(self, backbones: BackboneSource, taps: Sequence[Tap] | None = None) -> None:
        super().__init__()
        swin, vit = bool(SWINS.match(backbones.name)), bool(VITS.match(backbones.name)) and taps is None
        self.is_transformer = swin or vit
        """Whether the authors change the number of tokens by learned layers; they interpolate CNNs' maps."""
        self.channels: tuple[int, ...]
        self.grids: tuple[Grid, ...]
        if vit:
            self.tokens = backbones.tokens(after=VIT_BLOCKS)
            self.tokens.take_rest()  # the last norm, which nothing passes
            self.channels = (self.tokens.channels,) * len(VIT_BLOCKS)
            self.grids = (Grid(*self.tokens.grid, self.tokens.prefix),) * len(VIT_BLOCKS)
            self.maps = None
        else:
            self.maps = backbones.features(list(taps or (SWIN_TAPS if swin else CNN_TAPS)))
            self.channels, self.grids = self.maps.channels, tuple(Grid(*size) for size in self.maps.sizes())

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.maps is None:
            return list(self.tokens(images).after)
        return [one.flatten(2).mT.contiguous() for one in self.maps(images)]


def projection(channels: int, features: int) -> nn.Sequential:
    """Of each token alone, `(…, channels)` -> `(…, features)`; a 1 × 1 convolution is the same on a map."""
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, features))


class Resized(nn.Module):
    """Tokens `(B, N, C)` of one grid -> `(B, M, C)` of another, each channel alone.

    `learned`: every token is a weighted sum of all, plus a bias, with weights that are learned (a convolution over the
    token axis in the authors' code); otherwise bilinear between places, of which halving is the mean of 2 × 2.
    """

    def __init__(self, start: Grid, end: Grid, learned: bool) -> None:
        super().__init__()
        self.start, self.end = start, end
        self.mix = nn.Linear(start.tokens, end.tokens) if learned else None
        self.rows: Tensor
        self.columns: Tensor
        # As products, which run alike on every device and compiled or not: by the last bits tokens are ranked.
        self.register_buffer("rows", bilinear(start.height, end.height), persistent=False)
        self.register_buffer("columns", bilinear(start.width, end.width), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.mix is not None:
            return self.mix(tokens.mT).mT
        if self.start == self.end:
            return tokens
        wide = self.columns @ tokens.unflatten(1, self.start[:2])  # (B, start.height, end.width, C)
        return (self.rows @ wide.flatten(2)).unflatten(2, (self.end.width, -1)).flatten(1, 2)


def bilinear(start: int, end: int) -> Tensor:
    """The weights `(end, start)` by which linear interpolation brings a line of `start` cells to `end`."""
    return F.interpolate(torch.eye(start).unsqueeze(0), size=end, mode="linear", align_corners=False)[0].T.contiguous()


class TopDown(nn.Module):
    """Each level projected, and what the coarser ones found added: tokens `(B, N_l, C_l)` -> `(B, N_l, features)`."""

    def __init__(
        self, channels: Sequence[int], grids: Sequence[Grid], features: int, learned: bool, mix_equal: bool = False
    ) -> None:
        """`mix_equal`: a learned layer lies also between levels of as many tokens; otherwise they are added as they
        are."""
        super().__init__()
        self.project = nn.ModuleList(projection(one, features) for one in channels)
        self.up = nn.ModuleList(
            Resized(coarse, fine, learned and (mix_equal or coarse.tokens != fine.tokens))
            for fine, coarse in pairwise(grids)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        found = [project(one) for project, one in zip(self.project, levels, strict=True)]
        for level in reversed(range(len(self.up))):
            found[level] = found[level] + self.up[level](found[level + 1])
        return found


class BottomUp(nn.Module):
    """Each level projected again, and what the finer ones found added: tokens `(B, N_l, features)` -> the same."""

    def __init__(self, grids: Sequence[Grid], features: int, learned: bool) -> None:
        super().__init__()
        self.project = nn.ModuleList(projection(features, features) for _ in grids)
        self.down = nn.ModuleList(Resized(fine, coarse, learned) for fine, coarse in pairwise(grids))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        found = [project(one) for project, one in zip(self.project, levels, strict=True)]
        for level, down in enumerate(self.down):
            found[level + 1] = found[level + 1] + down(found[level])
        return found


class TokenClassifier(nn.Module):
    """Tokens `(B, N, features)` -> logits `(B, N, K)` of each: two layers, batch norm over all tokens between them."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.norm = nn.BatchNorm1d(features)
        self.classify = nn.Linear(features, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.norm(self.hidden(tokens.flatten(0, 1))).relu()
        return self.classify(hidden).unflatten(0, tokens.shape[:2])


def as_maps(scores: Sequence[Tensor], grids: Sequence[Grid]) -> Tensor:
    """Scores `(B, N_l)` of each level's tokens as maps `(B, L, h, w)` of the finest grid; tokens without a place are
    left out."""
    size = max(grids, key=lambda grid: grid.height * grid.width)[:2]
    placed = [one[:, grid.prefix :].unflatten(1, grid[:2]) for one, grid in zip(scores, grids, strict=True)]
    return torch.cat([F.interpolate(one.unsqueeze(1), size=size, mode="nearest-exact") for one in placed], dim=1)
