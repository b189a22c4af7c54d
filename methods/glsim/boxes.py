"""Bounding boxes around chosen patches of images."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes_around(chosen: Tensor, grid: tuple[int, int], size: tuple[int, int], whole_patches: bool = False) -> Tensor:
    """Boxes around patches, for `methods.ops.attention.crops.crop`: numbers `(B, n)`, row by row -> `(B, 4)`.

    `grid` is rows and columns of patches, `size` the image's height and width in pixels. A box begins where the first
    patch begins and ends where the last one begins, but has the size of a patch at least; with `whole_patches` it ends
    where the last one ends. Returned are top, left, bottom and right: 0 is the first pixel of the image and 1 the last.
    """
    (top, bottom), (left, right) = (
        _span(numbers, length // count, length, whole_patches)
        for numbers, count, length in zip((chosen // grid[1], chosen % grid[1]), grid, size, strict=True)
    )
    return torch.stack([top, left, bottom, right], dim=1)


def _span(numbers: Tensor, patch: int, length: int, whole_patches: bool) -> tuple[Tensor, Tensor]:
    """First and last pixel, as shares of the image, of rows (or columns) `(B, n)` of `patch` pixels each."""
    first, last = (extreme.double() * patch for extreme in (numbers.amin(dim=1), numbers.amax(dim=1)))
    end = last + patch if whole_patches else last.maximum(first + patch)  # excluded
    return first / (length - 1), (end - 1) / (length - 1)
