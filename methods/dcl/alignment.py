"""DCL's region alignment: from the map of a destroyed image, where did the region at each place come from?

Regions are numbered row by row on an n × n grid; `sources` `(B, n·n)` names the region that came to each place.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.options import check_word
from methods.ops.precision import at_least_float32

Location = Literal["coordinates", "index"]
"""How a region's location is predicted; see `RegionAlignment`."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""By which images are taken to be normalised, channel by channel, where the brightness of their pixels is compared."""


class RegionAlignment(nn.Module):
    """Predicts the location of each region from the last map, and measures the error, the paper's L_loc.

    coordinates: as in the paper. A 1 × 1 convolution to two channels, ReLU, mean over each region; the location of
        region (i, j), counted from 1, is (i / n, j / n).
    index: as in the authors' code. A 1 × 1 convolution to one channel, mean over each region, tanh; the location of
        region r, counted from 0 row by row, is (r - n² // 2) / n², in which a column weighs an n-th of a row.

    The error is the absolute difference, summed over coordinates and averaged over regions and images. Raises
    `ValueError` for another `location`.
    """

    def __init__(self, channels: int, n: int, location: Location) -> None:
        super().__init__()
        check_word("location", location, get_args(Location))
        self.n, self.location = n, location
        self.locate = nn.Conv2d(channels, 2 if location == "coordinates" else 1, 1)

    def forward(self, features: Tensor, sources: Tensor) -> Tensor:
        """`(B, C, h, w)` and int64 `(B, n·n)` -> scalar, at least float32."""
        located = self.locate(features)
        with torch.autocast(features.device.type, enabled=False):
            located = at_least_float32(located)
            if self.location == "coordinates":
                predicted = region_means(located.relu(), self.n)
            else:
                predicted = region_means(located, self.n).tanh()
            target = self.targets(sources).to(predicted.dtype)
            return (predicted.flatten(2) - target).abs().sum(dim=1).mean()

    def targets(self, sources: Tensor) -> Tensor:
        """Locations of regions: `(B, n·n)` -> `(B, 2, n·n)` rows and columns, or `(B, 1, n·n)`."""
        if self.location == "coordinates":
            return torch.stack([sources // self.n + 1, sources % self.n + 1], dim=1) / self.n
        return (sources[:, None] - self.n**2 // 2) / self.n**2


def region_means(x: Tensor, n: int) -> Tensor:
    """Mean over each region of an n × n grid, `(B, C, h, w)` -> `(B, C, n, n)`: cells weighted by their area in it.

    On 14 × 14 cells and n = 7 these are the means of 2 × 2 cells. A map may have fewer cells than the grid has regions:
    then neighbours share a cell, and their means are the less different the coarser the map is.
    """
    rows, columns = (_area_weights(n, size, x) for size in x.shape[2:])
    return rows @ x @ columns.mT


def _area_weights(n: int, size: int, like: Tensor) -> Tensor:
    """Share of each of n equal intervals that lies in each of `size` cells, `(n, size)`; each row sums to 1."""
    start = torch.arange(n, device=like.device, dtype=like.dtype)[:, None] * size / n
    cell = torch.arange(size, device=like.device, dtype=like.dtype)
    overlap = (start + size / n).minimum(cell + 1) - start.maximum(cell)
    return overlap.clamp_min(0) * n / size


def matched_by_brightness(images: Tensor, destroyed: Tensor, n: int) -> Tensor:
    """The authors' code's guess of where each region came from: int64 `(B, n·n)`.

    It takes the region of the whole image whose mean brightness is nearest, so two places may have the same source.
    Brightness is the sum of the channels of pixels, so here each channel is multiplied by what it was divided by.
    """
    with torch.autocast(images.device.type, enabled=False):
        scale = torch.stack([torch.full((), one, device=images.device) for one in IMAGENET_STD])[:, None, None]
        both = torch.stack([images, destroyed])
        gray = (at_least_float32(both) * scale).sum(dim=2)  # (2, B, H, W)
        before, after = region_means(gray, n).flatten(2)
        return (after[:, :, None] - before[:, None, :]).abs().argmin(dim=2)


def zoomed(images: Tensor, border: float) -> Tensor:
    """Images without a border of this share of their sides, enlarged bilinearly to their size."""
    height, width = images.shape[2:]
    top, left = round(border * height), round(border * width)
    inner = images[:, :, top : height - top, left : width - left]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)
