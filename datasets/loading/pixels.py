"""Moves of a batch's pixels, each sample with its own parameters; pixels as torchvision's v2 functions give them.

Images are `(B, 3, H, W)`. Parameters lie on the host: they are moved along without waiting for the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional


def crop(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Windows `(B, 3, size, size)` from `corners` (B, 2: top, left), mirrored where `flips` (B,); values untouched."""
    if images.device.type == "cpu":
        return _crop_by_slices(images, corners, flips, size)
    return _crop_by_index(images, corners, flips, size)


def _crop_by_slices(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Sample by sample: on a CPU, copying whole rows is several times as fast as a gather. By NumPy, whose copies
    start no threads: on cores that others use too, waiting for those can cost a thousand times the copy."""
    source = images.numpy()
    windows = np.empty((len(images), 3, size, size), dtype=source.dtype)
    for image, window, (top, left), flip in zip(source, windows, corners.tolist(), flips.tolist(), strict=True):
        inside = image[:, top : top + size, left : left + size]
        window[:] = inside[..., ::-1] if flip else inside
    return torch.from_numpy(windows)


def _crop_by_index(images: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """All samples in one gather."""
    corners, flips = (given.to(images.device, non_blocking=True) for given in (corners, flips))
    steps = torch.arange(size, device=images.device)
    rows = corners[:, :1] + steps
    columns = corners[:, 1:] + torch.where(flips[:, None], steps.flip(0), steps)
    samples = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(3, device=images.device)[:, None, None]
    return images[samples, channels, rows[:, None, :, None], columns[:, None, None, :]]


def resized_crop(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Boxes (B, 4: top, left, height, width) of uint8 images, scaled to `(B, 3, size, size)`, mirrored by `flips` (B,).

    Bilinear and antialiased like torchvision's resize, within one level of 255. Float32 on a GPU, uint8 on
    a CPU.
    """
    if images.device.type == "cpu":
        return _resized_crop_by_slices(images, boxes, flips, size)
    return _resized_crop_by_products(images, boxes, flips, size)


def _resized_crop_by_slices(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Sample by sample: on a CPU, torchvision's resize of uint8 is ten times as fast as the products."""
    scaled = np.empty((len(images), 3, size, size), dtype=np.uint8)
    for image, result, box, flip in zip(images, scaled, boxes.tolist(), flips.tolist(), strict=True):
        top, left, height, width = box
        window = functional.resized_crop(image, top, left, height, width, [size, size], antialias=True).numpy()
        result[:] = window[..., ::-1] if flip else window
    return torch.from_numpy(scaled)


def _resized_crop_by_products(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """All samples at once: the filter is separable, so that it is two matrix products.

    Its weights are worked out on the device: on the host they took longer than all the rest, and their copy too.
    """
    boxes, flips = (given.to(images.device, non_blocking=True) for given in (boxes, flips))
    height, width = images.shape[-2:]
    down = _filter(boxes[:, 0], boxes[:, 2], size, height)
    across = _filter(boxes[:, 1], boxes[:, 3], size, width)
    across = torch.where(flips[:, None, None], across.flip(1), across)
    return down[:, None] @ (images.float() @ across[:, None].mT)


def _filter(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """Weights (B, size, extent) that scale `length` pixels from `start` on to `size`: a triangle as wide as two output
    pixels, or two input pixels where the image is enlarged."""
    scale = (length / size)[:, None, None]
    centre = (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    pixel = torch.arange(extent, device=start.device) - start[:, None, None]
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel >= 0) & (pixel < length[:, None, None]))
    return weights / weights.sum(-1, keepdim=True)


def rotate(images: Tensor, sizes: Tensor, angles: Tensor) -> Tensor:
    """Images turned counter-clockwise by `angles` (B,) degrees about their centres, bilinear, in the type of `images`.

    `sizes` (B, 2): height and width of each image within the padded batch. What comes from outside is black.
    """
    radians = angles.deg2rad()
    cosine, sine = radians.cos(), radians.sin()
    y, x = ((sizes - torch.tensor(images.shape[-2:])) / 2).unbind(1)  # an image's centre from the batch's
    across = torch.stack([cosine, -sine, x - cosine * x + sine * y], 1)
    down = torch.stack([sine, cosine, y - sine * x - cosine * y], 1)
    return _affine(images, torch.stack([across, down], 1))


def shear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each row moved left by `rows` (B,) times its distance from the top, each column up by `columns` (B,) times its
    distance from the left edge; bilinear, in the type of `images`. What comes from outside is black."""
    height, width = images.shape[-2:]
    one = torch.ones_like(rows)
    across = torch.stack([one, rows, rows * height / 2], 1)
    down = torch.stack([columns, one, columns * width / 2], 1)
    return _affine(images, torch.stack([across, down], 1))


def translate(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Images moved by `right` (B,) and `down` (B,) pixels, in their own type. What comes from outside is black."""
    one, none = torch.ones_like(right), torch.zeros_like(right)
    across = torch.stack([one, none, -right], 1)
    down = torch.stack([none, one, -down], 1)
    return _affine(images, torch.stack([across, down], 1))


def _affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Each pixel fetched from where `matrices` (B, 2, 3) say, bilinear, zero outside, in the type of `images`.

    A matrix leads from (x, y, 1) of the result to (x, y) of the image, in pixels from the centre of the batch's frame.
    """
    height, width = images.shape[-2:]
    # Grid coordinates run from -1 to 1 over the frame.
    frame = torch.tensor([width / 2, height / 2, 1.0])
    grids = (matrices * frame / frame[:2, None]).float().to(images.device, non_blocking=True)
    grid = affine_grid(grids, list(images.shape), align_corners=False)
    moved = grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved if images.is_floating_point() else moved.round_().to(images.dtype)


def erase(images: Tensor, corners: Tensor, extents: Tensor) -> Tensor:
    """Zeros in the rectangle from `corners` (B, 2: top, left) of `extents` (B, 2: height, width) whole pixels."""
    height, width = images.shape[-2:]
    return images.masked_fill(rectangles(corners, extents, height, width, images.device), 0)


def rectangles(corners: Tensor, extents: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """Masks `(B, 1, height, width)`: True from `corners` (B, 2: top, left) on over `extents` (B, 2: height, width)."""
    corners, extents = (value.to(device, non_blocking=True)[..., None] for value in (corners, extents))
    rows, columns = (torch.arange(length, device=device) for length in (height, width))
    inside_rows = (rows >= corners[:, 0]) & (rows < corners[:, 0] + extents[:, 0])
    inside_columns = (columns >= corners[:, 1]) & (columns < corners[:, 1] + extents[:, 1])
    return inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
