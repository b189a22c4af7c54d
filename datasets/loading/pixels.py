"""Geometric operations on a batch with parameters per sample; same pixels as torchvision's v2 functions.

torchvision's functions take one set of parameters for a whole batch. Images are `(B, 3, H, W)`. Parameters are on the
host and are copied without waiting for the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional


def crop(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Windows `(B, 3, size, size)` at `corners` (B, 2: top, left), mirrored where `flips` (B,)."""
    if images.device.type == "cpu":
        return crop_by_slices(images, corners, flips, size)
    return crop_by_index(images, corners, flips, size)


def crop_by_slices(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Sample by sample: on a CPU, copying whole rows is several times faster than a gather. Copied by NumPy, which
    starts no threads: on busy cores, waiting for threads can take a thousand times as long as the copy."""
    source = images.numpy()
    windows = np.empty((len(images), 3, size, size), dtype=source.dtype)
    for image, window, (top, left), flip in zip(source, windows, corners.tolist(), flips.tolist(), strict=True):
        inside = image[:, top : top + size, left : left + size]
        window[:] = inside[..., ::-1] if flip else inside
    return torch.from_numpy(windows)


def crop_by_index(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """All samples at once, in one gather."""
    corners, flips = (given.to(images.device, non_blocking=True) for given in (corners, flips))
    steps = torch.arange(size, device=images.device)
    rows = corners[:, :1] + steps
    columns = corners[:, 1:] + torch.where(flips[:, None], steps.flip(0), steps)
    samples = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(3, device=images.device)[:, None, None]
    return images[samples, channels, rows[:, None, :, None], columns[:, None, None, :]]


def resized_crop(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Boxes (B, 4: top, left, height, width) of uint8 images, scaled to `(B, 3, size, size)`; `flips` (B,) mirrors.

    Bilinear and antialiased, within one level (of 255) of torchvision's resize. Float32 on a GPU, uint8 on a CPU.
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

    Its weights are computed on the device: on the host, computing and copying them took longer than everything else.
    """
    boxes, flips = (given.to(images.device, non_blocking=True) for given in (boxes, flips))
    height, width = images.shape[-2:]
    down = _filter(boxes[:, 0], boxes[:, 2], size, height)
    across = _filter(boxes[:, 1], boxes[:, 3], size, width)
    across = torch.where(flips[:, None, None], across.flip(1), across)
    return down[:, None] @ (images.float() @ across[:, None].mT)


def _filter(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """Weights (B, size, extent) that scale `length` pixels starting at `start` to `size` pixels: a triangle as wide as
    two output pixels, or as two input pixels if the image is enlarged."""
    scale = (length / size)[:, None, None]
    centre = (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    pixel = torch.arange(extent, device=start.device) - start[:, None, None]
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel >= 0) & (pixel < length[:, None, None]))
    return weights / weights.sum(-1, keepdim=True)


def rotate(images: Tensor, sizes: Tensor, angles: Tensor) -> Tensor:
    """Images rotated counter-clockwise by `angles` (B,) degrees about their centres, bilinear, filled with black.

    `sizes` (B, 2): height and width of each image within the padded batch. The type of the images is kept.
    """
    radians = angles.deg2rad()
    cosine, sine = radians.cos(), radians.sin()
    y, x = ((sizes - torch.tensor(images.shape[-2:])) / 2).unbind(1)  # image centre minus batch centre
    across = torch.stack([cosine, -sine, x - cosine * x + sine * y], 1)
    down = torch.stack([sine, cosine, y - sine * x - cosine * y], 1)
    return _affine(images, torch.stack([across, down], 1))


def shear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Shifts each row left by `rows` (B,) times its distance from the top and each column up by `columns` (B,) times
    its distance from the left edge; bilinear, filled with black. The type of the images is kept."""
    height, width = images.shape[-2:]
    one = torch.ones_like(rows)
    across = torch.stack([one, rows, rows * height / 2], 1)
    down = torch.stack([columns, one, columns * width / 2], 1)
    return _affine(images, torch.stack([across, down], 1))


def translate(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Images moved by `right` (B,) and `down` (B,) pixels and filled with black. Their type is kept."""
    one, none = torch.ones_like(right), torch.zeros_like(right)
    across = torch.stack([one, none, -right], 1)
    down = torch.stack([none, one, -down], 1)
    return _affine(images, torch.stack([across, down], 1))


def _affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Affine transforms by `matrices` (B, 2, 3), bilinear, zero outside; the type of the images is kept.

    A matrix maps (x, y, 1) of the result to (x, y) of the image, in pixels relative to the centre of the padded batch.
    """
    height, width = images.shape[-2:]
    # Grid coordinates range from -1 to 1.
    frame = torch.tensor([width / 2, height / 2, 1.0])
    grids = (matrices * frame / frame[:2, None]).float().to(images.device, non_blocking=True)
    grid = affine_grid(grids, list(images.shape), align_corners=False)
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
