"""Geometric operations on a batch with parameters per sample; same pixels as torchvision's v2 functions.

torchvision's functions take one set of parameters for a whole batch. Images are `(B, 3, H, W)`. Parameters are on the
host and are copied without waiting for the device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional

HALF = torch.float16
"""Of the resized crop's products. It has all levels 0 .. 255 exactly; bfloat16 would round what is in between to
whole levels."""


def crop(images: Tensor, corners: Tensor, flips: Tensor, size: int, sizes: Tensor | None = None) -> Tensor:
    """Windows `(B, 3, size, size)` at `corners` (B, 2: top, left), mirrored where `flips` (B,).

    With the `sizes` (B, 2: height, width) of the images, windows may reach or lie beyond them, and are black there.
    """
    if images.device.type == "cpu":
        return crop_by_slices(images, corners, flips, size, sizes)
    return crop_by_gather(images, corners, flips, size, sizes)


def crop_by_slices(images: Tensor, corners: Tensor, flips: Tensor, size: int, sizes: Tensor | None = None) -> Tensor:
    """Sample by sample: on a CPU, copying whole rows is several times faster than a gather. Copied by NumPy, which
    starts no threads: on busy cores, waiting for threads can take a thousand times as long as the copy."""
    source, ends = images.numpy(), (corners + size if sizes is None else sizes).tolist()
    windows = np.empty((len(images), 3, size, size), dtype=source.dtype)
    if sizes is not None:
        windows.fill(0)
    given = zip(source, windows, corners.tolist(), ends, flips.tolist(), strict=True)
    for image, window, (top, left), (bottom, right), flip in given:
        first, start = max(top, 0), max(left, 0)
        end, stop = max(min(top + size, bottom), first), max(min(left + size, right), start)
        inside = image[:, first:end, start:stop]
        rows, columns = slice(first - top, first - top + inside.shape[1]), start - left
        mirrored = window[..., ::-1] if flip else window
        mirrored[:, rows, columns : columns + inside.shape[2]] = inside
    return torch.from_numpy(windows)


def crop_by_gather(images: Tensor, corners: Tensor, flips: Tensor, size: int, sizes: Tensor | None = None) -> Tensor:
    """All samples at once: their rows, then the columns of these. Neither index is stored for every pixel."""
    corners, flips = (given.to(images.device, non_blocking=True) for given in (corners, flips))
    steps = torch.arange(size, device=images.device)
    rows = corners[:, :1] + steps
    columns = corners[:, 1:] + torch.where(flips[:, None], steps.flip(0), steps)
    if sizes is not None:
        ends = sizes.to(images.device, non_blocking=True)[..., None]
        outside = ((rows < 0) | (rows >= ends[:, 0]))[:, None, :, None]
        outside = outside | ((columns < 0) | (columns >= ends[:, 1]))[:, None, None]
        rows, columns = rows.clamp(0, images.shape[-2] - 1), columns.clamp(0, images.shape[-1] - 1)
    bands = images.gather(2, rows[:, None, :, None].expand(-1, 3, -1, images.shape[-1]))
    windows = bands.gather(3, columns[:, None, None].expand(-1, 3, size, -1))
    return windows if sizes is None else windows.masked_fill_(outside, 0)


def resized_crop(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Boxes (B, 4: top, left, height, width) of uint8 images, scaled to `(B, 3, size, size)`; `flips` (B,) mirrors.

    Bilinear and antialiased; uint8, within one level (of 255) of torchvision's resize, which rounds twice.
    """
    if images.device.type == "cpu":
        return resized_crop_by_slices(images, boxes, flips, size)
    return resized_crop_by_products(images, boxes, flips, size)


def resized_crop_by_slices(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Sample by sample: on a CPU, torchvision's resize of uint8 is ten times as fast as the products."""
    scaled = np.empty((len(images), 3, size, size), dtype=np.uint8)
    for image, result, box, flip in zip(images, scaled, boxes.tolist(), flips.tolist(), strict=True):
        top, left, height, width = box
        window = functional.resized_crop(image, top, left, height, width, [size, size], antialias=True).numpy()
        result[:] = window[..., ::-1] if flip else window
    return torch.from_numpy(scaled)


def resized_crop_by_products(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """All samples at once: the filter is separable, so it is two matrix products.

    In half precision, which a GPU multiplies many times as fast as float32. Rounding weights and sums to it moves a
    pixel by a quarter of a level at most, before it is rounded to a whole level. Whole images are multiplied, because
    boxes differ in size.
    """
    boxes, flips = (given.to(images.device, non_blocking=True) for given in (boxes, flips))
    height, width = images.shape[-2:]
    steps = torch.arange(size, device=images.device)
    down = _filter(boxes[:, 0], boxes[:, 2], steps[None], height)
    across = _filter(boxes[:, 1], boxes[:, 3], torch.where(flips[:, None], steps.flip(0), steps), width)
    # (B, H, 3, W): the channels are then part of rows or columns, and no filter is copied for each of them.
    scaled = down @ images.transpose(1, 2).to(HALF, memory_format=torch.contiguous_format).flatten(2)
    scaled = scaled.view(-1, 3 * size, width) @ across.mT
    levels = scaled.round_().view(-1, size, 3, size).transpose(1, 2)
    return levels.to(images.dtype, memory_format=torch.contiguous_format)


def _filter(start: Tensor, length: Tensor, places: Tensor, extent: int) -> Tensor:
    """Weights (B, size, extent) that scale `length` (B,) pixels from `start` (B,) on to the output's `places`
    (B or 1, size): a triangle as wide as two output pixels, or as two input pixels if the image is enlarged.

    Computed on the device for the few pixels that the triangle covers; everywhere else there are zeros.
    """
    size = places.shape[1]
    taps = min(extent, math.ceil(2 * max(extent / size, 1)) + 1)
    scale = (length / size)[:, None]
    reach = scale.clamp(min=1)
    centre = (places + 0.5) * scale
    first = (start[:, None] + centre - reach - 0.5).ceil().clamp(0, extent - taps).long()
    pixel = first[..., None] + torch.arange(taps, device=start.device)
    inside = pixel - start[:, None, None]
    weights = (1 - (inside + 0.5 - centre[..., None]).abs() / reach[..., None]).clamp(min=0)
    weights = weights * ((inside >= 0) & (inside < length[:, None, None]))
    weights = weights / weights.sum(-1, keepdim=True)
    return weights.new_zeros((len(start), size, extent), dtype=HALF).scatter_(2, pixel, weights.to(HALF))


def rotate(images: Tensor, sizes: Tensor, angles: Tensor) -> Tensor:
    """Images rotated counter-clockwise by `angles` (B,) degrees about their centres, bilinear, filled with black.

    `sizes` (B, 2): height and width of each image within the padded batch. The type of the images is kept.
    """
    height, width = images.shape[-2:]
    return affine(images, rotations(sizes, angles, height, width))


def rotations(sizes: Tensor, angles: Tensor, height: int, width: int) -> Tensor:
    """Matrices (B, 2, 3) for `affine` that rotate as `rotate` does, in a batch of this height and width."""
    radians = angles.deg2rad()
    cosine, sine = radians.cos(), radians.sin()
    y, x = ((sizes - torch.tensor((height, width))) / 2).unbind(1)  # image centre minus batch centre
    across = torch.stack([cosine, -sine, x - cosine * x + sine * y], 1)
    down = torch.stack([sine, cosine, y - sine * x - cosine * y], 1)
    return torch.stack([across, down], 1)


def shears(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Matrices (B, 2, 3) for `affine` that shift each row left by `rows` (B,) times its distance from the top and each
    column up by `columns` (B,) times its distance from the left edge."""
    one = torch.ones_like(rows)
    across = torch.stack([one, rows, rows * height / 2], 1)
    down = torch.stack([columns, one, columns * width / 2], 1)
    return torch.stack([across, down], 1)


def translations(right: Tensor, down: Tensor) -> Tensor:
    """Matrices (B, 2, 3) for `affine` that move images by `right` (B,) and `down` (B,) pixels."""
    one, none = torch.ones_like(right), torch.zeros_like(right)
    return torch.stack([torch.stack([one, none, -right], 1), torch.stack([none, one, -down], 1)], 1)


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Affine transforms by `matrices` (B, 2, 3), bilinear, filled with black; the type of the images is kept.

    A matrix maps (x, y, 1) of the result to (x, y) of the image, in pixels relative to the centre of the padded batch.
    """
    height, width = images.shape[-2:]
    scaled = scaled_to_grid(matrices, height, width).to(images.device, non_blocking=True)
    if images.device.type == "cpu":
        grid = affine_grid(scaled, list(images.shape), align_corners=False)
    else:
        grid = grid_by_sums(scaled, height, width)
    return sample(images, grid)


def scaled_to_grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """The same matrices, float32, for coordinates that range from -1 to 1."""
    frame = torch.tensor([width / 2, height / 2, 1.0])
    return (matrices * frame / frame[:2, None]).float()


def grid_by_sums(matrices: Tensor, height: int, width: int) -> Tensor:
    """What `affine_grid` gives, (B, height, width, 2), without its matrix product: in TF32 that would move pixels."""
    y, x = ((2 * torch.arange(length, device=matrices.device) + 1) / length - 1 for length in (height, width))
    across, down, shift = matrices[:, None, None].unbind(-1)
    return across * x[:, None] + (down * y[:, None, None] + shift)


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Images at the points `grid` (B, H, W, 2), bilinear, zero outside; their type is kept."""
    moved = grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved if images.is_floating_point() else moved.round_().to(images.dtype)


def erase(images: Tensor, corners: Tensor, extents: Tensor) -> Tensor:
    """Sets the rectangle at `corners` (B, 2: top, left) with `extents` (B, 2: height, width) pixels to zero."""
    height, width = images.shape[-2:]
    return images.masked_fill(rectangles(corners, extents, height, width, images.device), 0)


def rectangles(corners: Tensor, extents: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """Masks `(B, 1, height, width)`: True from `corners` (B, 2: top, left) on over `extents` (B, 2: height, width)."""
    corners, extents = (value.to(device, non_blocking=True)[..., None] for value in (corners, extents))
    rows, columns = (torch.arange(length, device=device) for length in (height, width))
    inside_rows = (rows >= corners[:, 0]) & (rows < corners[:, 0] + extents[:, 0])
    inside_columns = (columns >= corners[:, 1]) & (columns < corners[:, 1] + extents[:, 1])
    return inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
