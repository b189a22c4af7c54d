"""From attention maps to crops and drops of images, on a whole batch at once: draws, regions, boxes.

WS-DAN introduced them (arXiv 1901.09891, Sections 3.3 and 3.4). Boxes are tensors, computed by reductions and cropped
by one resampling: no loop over samples, no copy to the host, no shape that depends on the data. Only the chosen map of
each sample is resized to the image, not all M.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32

Maximum = Literal["resized", "cells"]
"""The maximum of which a threshold is a share: that of the map as resized to the image, or of its cells, which may be
higher."""

Bounds = Literal["shares", "pixels", "floored_padding"]
"""How a box is rounded. `shares`: not at all. The others are whole pixels inside the image, the last one excluded:
`pixels` cuts the padded bounds to integers, `floored_padding` only the padding."""


def choose_maps(attention: Tensor, uniform: Tensor, weighted: bool = True) -> Tensor:
    """One map per sample, drawn at random: `(B, M, h, w)` and `uniform` draws `(B, M)` in [0, 1) -> `(B, h, w)`.

    Map k is drawn with probability p_k = sqrt(mean(A_k)) / sum_j sqrt(mean(A_j)) if `weighted`, else 1 / M. The draw is
    a race: with E_k exponential, the largest of p_k / E_k is that of k with probability p_k. Unlike a draw from the
    cumulative sum, it can't end on a map of weight 0, unless all have it.
    """
    weights = at_least_float32(attention).mean(dim=(2, 3)).sqrt()
    if not weighted:
        weights = torch.ones_like(weights)
    chosen = (weights / -uniform.log()).argmax(dim=1)
    return attention[torch.arange(len(chosen), device=chosen.device), chosen]


def salient(
    maps: Tensor,
    size: tuple[int, int],
    threshold: Tensor | float,
    align_corners: bool = False,
    maximum_of: Maximum = "resized",
) -> Tensor:
    """Where maps reach `threshold` of their maximum: `(B, h, w)` -> bool `(B, H, W)`, `size` being (H, W).

    `threshold` is one number for all, or `(B,)`. Maps are resized bilinearly, each cell covering its stride or, with
    `align_corners`, the outer cells' centres on the outer pixels'; at least in float32: half precision would move the
    edges by pixels. A region is never empty.
    """
    maps = at_least_float32(maps)
    resized = F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=align_corners)[:, 0]
    if isinstance(threshold, Tensor):
        threshold = threshold[:, None, None]
    highest = resized.amax(dim=(1, 2), keepdim=True)
    if maximum_of == "resized":
        return resized >= threshold * highest
    return resized >= (threshold * maps.amax(dim=(1, 2), keepdim=True)).minimum(highest)


def bounding_boxes(region: Tensor, padding: float, clamp: bool = False, bounds: Bounds = "shares") -> Tensor:
    """Smallest boxes around bool regions `(B, H, W)`, widened by `padding` of the image's sides on every side.

    Returns `(B, 4)`: top, left, bottom, right, as shares of the image's sides; with the bounds `shares` beyond 0 .. 1
    unless `clamp`.
    """
    rows, columns = region.any(dim=2), region.any(dim=1)
    if bounds == "shares":
        (top, bottom), (left, right) = (_padded_shares(hits, padding) for hits in (rows, columns))
    else:
        (top, bottom), (left, right) = (_whole_pixels(hits, padding, bounds) for hits in (rows, columns))
    boxes = torch.stack([top, left, bottom, right], dim=1)
    return boxes.clamp(0, 1) if clamp else boxes


def _padded_shares(hits: Tensor, padding: float) -> tuple[Tensor, Tensor]:
    """First and last true place in each row of `(B, N)`, as shares of N, padded."""
    first, last = _first_and_last(hits)
    return first / hits.shape[1] - padding, last / hits.shape[1] + padding


def _whole_pixels(hits: Tensor, padding: float, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """First and last pixel of the padded span, as shares for `crop`: 0 is the first pixel and 1 the last."""
    length = hits.shape[1]
    first, last = (place.double() for place in _first_and_last(hits))
    pixels = float(int(padding * length)) if bounds == "floored_padding" else padding * length
    start = (first - pixels).trunc().clamp(min=0)
    end = (last + pixels).trunc().clamp(max=length)  # excluded
    end = end.maximum(start + 1)
    return start / max(length - 1, 1), (end - 1) / max(length - 1, 1)


def _first_and_last(hits: Tensor) -> tuple[Tensor, Tensor]:
    """First and last true place in each row of `(B, N)`."""
    length = hits.shape[1]
    places = torch.arange(length, device=hits.device)
    return torch.where(hits, places, length).amin(dim=1), torch.where(hits, places, -1).amax(dim=1)


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Each image's box, enlarged bilinearly to the whole image's size: `(B, 3, H, W)`, `(B, 4)` -> `(B, 3, H, W)`.

    Parts of a box outside the image are 0, the mean colour. Share 0 is the centre of the first pixel and share 1
    that of the last, as in `crop_and_resize` of WS-DAN's authors.
    """
    height, width = images.shape[2:]
    top, left, bottom, right = boxes[:, :, None].unbind(dim=1)
    rows = top + (bottom - top) * torch.linspace(0, 1, height, device=boxes.device)
    columns = left + (right - left) * torch.linspace(0, 1, width, device=boxes.device)
    places = torch.broadcast_tensors(columns[:, None, :], rows[:, :, None])
    grid = torch.stack(places, dim=3) * 2 - 1  # (B, H, W, 2), x before y, -1 .. 1 in the image
    pixels = at_least_float32(images)
    return F.grid_sample(pixels, grid.to(pixels.dtype), "bilinear", "zeros", align_corners=True).to(images.dtype)


def drop(images: Tensor, region: Tensor) -> Tensor:
    """Images `(B, 3, H, W)` with a bool region `(B, H, W)` of each set to 0.

    A region that covers the whole image drops nothing: no value of its map is below θ of the maximum, so the map does
    not say where the part is (a map that is the same everywhere, for example). Released code leaves an empty image.
    """
    region = region & ~region.all(dim=2).all(dim=1)[:, None, None]
    return images.masked_fill(region[:, None], 0)
