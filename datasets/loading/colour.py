"""Changes of a batch's colours, each sample with its own parameters; values as torchvision's v2 functions give them.

Images are `(B, 3, H, W)`: float in 0 .. 1, or uint8, which comes back as uint8. Parameters `(B,)` lie on the host: they
are moved along without waiting for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green, blue in torchvision's grey (ITU-R 601-2)."""


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with black: factor 0 is black, 1 the image."""
    bright = images * _per_sample(factors, images)
    return bright.clamp_(0, _brightest(images)).to(images.dtype)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with their mean grey: factor 0 is plain grey, 1 the image."""
    return _blend(images, _grey(images).mean((-2, -1), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with their grey: factor 0 has no colour, 1 is the image."""
    return _blend(images, _grey(images), factors)


def adjust_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with their blur: factor 0 is blurred, 1 the image. The outermost pixels stay as they are."""
    if min(images.shape[-2:]) < 3:
        return images
    pictures = images if images.is_floating_point() else images.float()
    inner = pictures[..., 1:-1, 1:-1]
    of_three = pictures[..., :-2] + pictures[..., 1:-1] + pictures[..., 2:]
    of_nine = (of_three[..., :-2, :] + of_three[..., 1:-1, :]).add_(of_three[..., 2:, :])
    # Each of the nine pixels counts once, the middle one four times more: 13 parts.
    blurred = of_nine.add_(inner, alpha=4).div_(13)
    if not images.is_floating_point():
        blurred.round_()
    sharp = pictures.clone()
    sharp[..., 1:-1, 1:-1] = torch.lerp(blurred, inner, _per_sample(factors, images))
    return sharp.clamp_(0, _brightest(images)).to(images.dtype)


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Float images with their colours turned by `turns` (B,) of the colour wheel, -0.5 .. 0.5."""
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


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """uint8 images with only the highest `bits` (B,) of their 8 bits, 0 .. 8."""
    masks = (256 - 2 ** (8 - bits.long())).to(torch.uint8)
    return images & masks.view(-1, 1, 1, 1).to(images.device, non_blocking=True)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """uint8 images, inverted where they are at least `thresholds` (B,) bright."""
    return torch.where(images >= _per_sample(thresholds, images), images.bitwise_not(), images)


def autocontrast(images: Tensor) -> Tensor:
    """uint8 images, each channel stretched to 0 .. 255; one of a single value stays.

    Own code, for torchvision's writes through a mask, where a GPU might make the host wait.
    """
    pictures = images.float()
    darkest, brightest = pictures.amin((-2, -1), keepdim=True), pictures.amax((-2, -1), keepdim=True)
    level = (brightest - darkest) * (1 / 255)
    darkest, level = torch.where(level > 0, darkest, 0), torch.where(level > 0, level, 1)
    return pictures.sub_(darkest).div_(level).clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    grey = red.mul(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).unsqueeze(1)
    return grey if images.is_floating_point() else grey.floor_()


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    # In torchvision's order: uint8 cuts off what is beyond a whole level, where the last bit of a float may decide.
    blended = (images * _per_sample(factors, images)).addcmul_(others, _per_sample(1 - factors, images))
    return blended.clamp_(0, _brightest(images)).to(images.dtype)


def _brightest(images: Tensor) -> int:
    return 1 if images.is_floating_point() else 255


def _per_sample(values: Tensor, images: Tensor) -> Tensor:
    dtype = images.dtype if images.is_floating_point() else torch.float32
    return values.to(images.device, dtype, non_blocking=True).view(-1, 1, 1, 1)
