"""Where MC-Loss gets its channels from, and the classifier behind them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Source = Literal["own", "convolution", "stage"]
"""The channels: the map's `own`; those of a new `convolution` with batch norm and ReLU; or those of a new last `stage`
of a ResNet-18, two blocks of stride 1."""


def new_channels(source: Source, channels: int, width: int, kernel: int) -> nn.Module:
    """`(B, channels, h, w)` -> `(B, width, h, w)`; weights start as those of ResNet do."""
    if source == "own":
        return nn.Identity()
    if source == "stage":
        made: nn.Module = nn.Sequential(ResidualBlock(channels, width), ResidualBlock(width, width))
    else:
        made = nn.Sequential(normalised_convolution(channels, width, kernel), nn.ReLU())
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return made


def normalised_convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size, and batch norm."""
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width))


class ResidualBlock(nn.Module):
    """ResNet's basic block (He et al., CVPR 2016), stride 1: `(B, C, h, w)` -> `(B, width, h, w)`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalised_convolution(channels, width, 3), nn.ReLU(), normalised_convolution(width, width, 3)
        )
        self.shortcut = nn.Identity() if channels == width else normalised_convolution(channels, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.body(maps) + self.shortcut(maps))


class Pooled(nn.Module):
    """The largest values of `cells` x `cells` parts of each channel: `(B, C, h, w)` -> `(B, C·cells²)`.

    The parts are those of adaptive maximum pooling, whose gradient on a GPU is not the same each time.
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, maps: Tensor) -> Tensor:
        if self.cells == 1:
            return maps.amax(dim=(2, 3))
        rows = torch.stack([maps[:, :, part].amax(dim=2) for part in parts(maps.shape[2], self.cells)], dim=2)
        cells = [rows[..., part].amax(dim=3) for part in parts(maps.shape[3], self.cells)]
        return torch.stack(cells, dim=3).flatten(1)


def parts(size: int, cells: int) -> list[slice]:
    """The places of each of `cells` parts of a side; neighbours share one where `cells` does not divide `size`."""
    return [slice(cell * size // cells, -(-(cell + 1) * size // cells)) for cell in range(cells)]


def classifier(channels: int, cells: int, hidden: int, classes: int) -> nn.Sequential:
    """The released classifier: maximum, batch norm, a hidden layer with batch norm and ELU, a linear layer."""
    features = channels * cells**2
    return nn.Sequential(
        Pooled(cells),
        nn.BatchNorm1d(features),
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ELU(),
        nn.Linear(hidden, classes),
    )
