"""Attention-guided data augmentation, and localisation of the object, on a whole batch at once.

Boxes are tensors, computed by reductions and cropped by one resampling: no loop over samples, no copy to the host, no
shape that depends on the data. Only the chosen map of each sample is resized to the image, not all M.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.precision import at_least_float32


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


def salient(maps: Tensor, size: tuple[int, int], threshold: Tensor | float) -> Tensor:
    """Where maps reach `threshold` of their maximum: `(B, h, w)` -> bool `(B, H, W)`, `size` being (H, W).

    `threshold` is one number for all, or `(B,)`. Maps are resized bilinearly, each cell covering its stride, and at
    least in float32: half precision would move the edges by pixels.
    """
    maps = F.interpolate(at_least_float32(maps)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    if isinstance(threshold, Tensor):
        threshold = threshold[:, None, None]
    return maps >= threshold * maps.amax(dim=(1, 2), keepdim=True)


def bounding_boxes(region: Tensor, padding: float, clamp: bool = False) -> Tensor:
    """Smallest boxes around bool regions `(B, H, W)`, widened by `padding` of the image's sides on every side.

    Returns `(B, 4)`: top, left, bottom, right, as shares of the image's sides; beyond 0 .. 1 unless `clamp`.
    """
    top, bottom = _first_and_last(region.any(dim=2))
    left, right = _first_and_last(region.any(dim=1))
    boxes = torch.stack([top - padding, left - padding, bottom + padding, right + padding], dim=1)
    return boxes.clamp(0, 1) if clamp else boxes


def _first_and_last(hits: Tensor) -> tuple[Tensor, Tensor]:
    """First and last true place in each row of `(B, N)`, as shares of N."""
    length = hits.shape[1]
    places = torch.arange(length, device=hits.device)
    first = torch.where(hits, places, length).amin(dim=1)
    last = torch.where(hits, places, -1).amax(dim=1)
    return first / length, last / length


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Each image's box, enlarged bilinearly to the whole image's size: `(B, 3, H, W)`, `(B, 4)` -> `(B, 3, H, W)`.

    Parts of a box outside the image are 0, the mean colour. Share 0 is the centre of the first pixel and share 1
    that of the last, as in the authors' `crop_and_resize`.
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

    A region that covers the whole image drops nothing: no value of the map is below θ of its maximum, so it does not
    say where the part is. So it is with a map that is the same everywhere, and with any other of min ≥ θ·max. The
    authors' code leaves an empty image.
    """
    region = region & ~region.all(dim=2).all(dim=1)[:, None, None]
    return images.masked_fill(region[:, None], 0)
