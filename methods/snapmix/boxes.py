"""SnapMix's boxes: drawn for a batch, pasted with resizing, and weighed by how much of a class lies in them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32


class Box(NamedTuple):
    """Rows `top .. bottom` and columns `left .. right` of an image, the last ones excluded; scalars in pixels."""

    top: Tensor
    left: Tensor
    bottom: Tensor
    right: Tensor

    @property
    def area(self) -> Tensor:
        """Pixels, a scalar; 0 for a box that a draw has left empty."""
        return (self.bottom - self.top) * (self.right - self.left)

    def inside(self, height: int, width: int) -> Tensor:
        """Which pixels of an image lie in the box, bool `(height, width)`."""
        rows, columns = (torch.arange(length, device=self.top.device) for length in (height, width))
        return ((rows >= self.top) & (rows < self.bottom))[:, None] & ((columns >= self.left) & (columns < self.right))


def draw_box(beta: float, height: int, width: int, device: torch.device) -> Box:
    """A box of the share 1 - λ of the image's area, λ from Beta(beta, beta), cut off at the image's edges.

    Its centre is any pixel with the same probability. CutMix draws its box so.
    """
    one, other = torch.distributions.Gamma(
        torch.full((2,), beta, device=device), torch.ones(2, device=device), validate_args=False
    ).sample()
    side = (other / (one + other)).sqrt()  # λ = one / (one + other) is Beta distributed
    vertical, horizontal = torch.rand(2, device=device)
    top, bottom = _span(height, side, vertical)
    left, right = _span(width, side, horizontal)
    return Box(top, left, bottom, right)


def _span(length: int, side: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Start and end, excluded, of a span of about `side` of `length` pixels around the pixel `place` · `length`."""
    half, centre = (length * side).long() // 2, (length * place).long()
    return (centre - half).clamp(0, length), (centre + half).clamp(0, length)


def paste(images: Tensor, others: Tensor, target: Box, source: Box) -> Tensor:
    """`images` with the box `source` of `others`, resized to the box `target`, in its place: each `(B, 3, H, W)`.

    Bilinear, corner pixels on corner pixels, like `interpolate(…, align_corners=True)` of the cut box. Of empty boxes
    nothing is defined.
    """
    height, width = images.shape[2:]
    rows = _resized(height, (target.top, target.bottom), (source.top, source.bottom))
    columns = _resized(width, (target.left, target.right), (source.left, source.right))
    grid = torch.stack(torch.broadcast_tensors(columns[None, :], rows[:, None]), dim=2)  # (H, W, 2), x before y
    pixels = at_least_float32(others)
    grid = grid.to(pixels.dtype).expand(len(images), -1, -1, -1)
    pasted = F.grid_sample(pixels, grid, "bilinear", "border", align_corners=True).to(images.dtype)
    return torch.where(target.inside(height, width), pasted, images)


def _resized(length: int, target: tuple[Tensor, Tensor], source: tuple[Tensor, Tensor]) -> Tensor:
    """Where each of `length` pixels, if in the span `target`, lies in `source`: -1 is the first pixel's centre and 1
    the last one's."""
    (start, end), (first, last) = target, source
    step = (last - first - 1).double() / (end - start - 1).clamp_min(1)  # float32 would blur by 1e-4 of a pixel
    places = first + (torch.arange(length, device=start.device) - start) * step
    return places * (2 / max(length - 1, 1)) - 1


def semantic_share(maps: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Share of each class activation map `(B, h, w)` that lies in a box of an image of `size` pixels, `(B,)`.

    The map is resized to the image and its smallest value becomes 0 (the semantic percent map). NaN where a map is the
    same everywhere.
    """
    resized = F.interpolate(at_least_float32(maps)[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    mass = resized - resized.amin(dim=(1, 2), keepdim=True)
    return (mass * box.inside(*size)).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
