"""Operations on a batch of images, each sample with its own parameters; pixels as torchvision's v2 functions give them.

Images are `(B, 3, H, W)`. Parameters lie on the host: they are moved along without waiting for the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green, blue in torchvision's grey (ITU-R 601-2)."""


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
    steps = torch.arange(size)
    rows = corners[:, :1] + steps
    columns = corners[:, 1:] + torch.where(flips[:, None], steps.flip(0), steps)
    rows, columns = (index.to(images.device, non_blocking=True) for index in (rows, columns))
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
    """All samples at once: the filter is separable, so that it is two matrix products."""
    height, width = images.shape[-2:]
    down = _filter(boxes[:, 0], boxes[:, 2], size, height)
    across = _filter(boxes[:, 1], boxes[:, 3], size, width)
    across = torch.where(flips[:, None, None], across.flip(1), across)
    down, across = (weights.to(images.device, non_blocking=True).unsqueeze(1) for weights in (down, across))
    return down @ (images.float() @ across.mT)


def _filter(start: Tensor, length: Tensor, size: int, extent: int) -> Tensor:
    """Weights (B, size, extent) that scale `length` pixels from `start` on to `size`: a triangle as wide as two output
    pixels, or two input pixels where the image is enlarged."""
    scale = (length / size)[:, None, None]
    centre = (torch.arange(size)[:, None] + 0.5) * scale
    pixel = torch.arange(extent) - start[:, None, None]
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel >= 0) & (pixel < length[:, None, None]))
    return weights / weights.sum(-1, keepdim=True)


def rotate(images: Tensor, sizes: Tensor, angles: Tensor) -> Tensor:
    """Images turned counter-clockwise by `angles` (B,) degrees about their centres, bilinear, in the type of `images`.

    `sizes` (B, 2): height and width of each image within the padded batch. What comes from outside is black.
    """
    height, width = images.shape[-2:]
    radians = angles.deg2rad()
    cosine, sine = radians.cos(), radians.sin()
    # Grid coordinates run from -1 to 1 over the padded batch; the image's centre lies elsewhere where it is padded.
    centre_y, centre_x = (sizes / torch.tensor([height, width]) - 1).unbind(1)
    aspect = height / width
    theta = torch.stack(
        [
            torch.stack([cosine, -sine * aspect, centre_x - cosine * centre_x + sine * aspect * centre_y], 1),
            torch.stack([sine / aspect, cosine, centre_y - sine / aspect * centre_x - cosine * centre_y], 1),
        ],
        1,
    ).to(images.device, non_blocking=True)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    turned = grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return turned if images.is_floating_point() else turned.round_().to(images.dtype)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Float images in 0 .. 1, blended with black: factor 0 is black, 1 the image."""
    return (images * _per_sample(factors, images)).clamp(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Float images in 0 .. 1, blended with their mean grey: factor 0 is plain grey, 1 the image."""
    return _blend(images, _grey(images).mean((-2, -1), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Float images in 0 .. 1, blended with their grey: factor 0 has no colour, 1 is the image."""
    return _blend(images, _grey(images), factors)


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Float images in 0 .. 1 with their colours turned by `turns` (B,) of the colour wheel, -0.5 .. 0.5."""
    red, green, blue = images.unbind(1)
    value, brightest = images.max(1)
    chroma = value - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1)
    # Sixths of a turn from red, by which channel is the brightest.
    hue = torch.stack([(green - blue) / safe, (blue - red) / safe + 2, (red - green) / safe + 4], 1)
    hue = hue.gather(1, brightest.unsqueeze(1)) + 6 * _per_sample(turns, images)
    offsets = torch.tensor([5, 3, 1]).view(3, 1, 1).to(images.device, non_blocking=True)
    position = (hue + offsets) % 6
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(position, 4 - position).clamp(0, 1)


def erase(images: Tensor, corners: Tensor, extents: Tensor) -> Tensor:
    """Zeros in the rectangle from `corners` (B, 2: top, left) of `extents` (B, 2: height, width) whole pixels."""
    corners, extents = (value.to(images.device, non_blocking=True)[..., None] for value in (corners, extents))
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    inside_rows = (rows >= corners[:, 0]) & (rows < corners[:, 0] + extents[:, 0])
    inside_columns = (columns >= corners[:, 1]) & (columns < corners[:, 1] + extents[:, 1])
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return images.masked_fill(inside, 0)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue).unsqueeze(1)


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    return torch.lerp(others.expand_as(images), images, _per_sample(factors, images)).clamp(0, 1)


def _per_sample(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1, 1)
