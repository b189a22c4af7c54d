"""Operations on colours and sharpness of a batch, with a parameter per sample; same values as torchvision's v2.

torchvision's functions take one parameter for a whole batch. Images are `(B, 3, H, W)`, float in 0 .. 1 or uint8, and
keep their type. Parameters `(B,)` are on the host and are copied without waiting for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in torchvision's grey (ITU-R 601-2)."""


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blends with black: factor 0 gives black, 1 the image."""
    bright = images * _per_sample(factors, images)
    return bright.clamp_(0, _brightest(images)).to(images.dtype)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blends with the mean grey: factor 0 gives uniform grey, 1 the image."""
    return _blend(images, _grey(images).mean((-2, -1), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blends with the grey image: factor 0 gives grey, 1 the image."""
    return _blend(images, _grey(images), factors)


def adjust_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blends with a blurred image: factor 0 gives the blurred image, 1 the image. Border pixels don't change."""
    if min(images.shape[-2:]) < 3:
        return images
    floats = images if images.is_floating_point() else images.float()
    inner = floats[..., 1:-1, 1:-1]
    of_three = floats[..., :-2] + floats[..., 1:-1] + floats[..., 2:]
    of_nine = (of_three[..., :-2, :] + of_three[..., 1:-1, :]).add_(of_three[..., 2:, :])
    # The kernel is 1 for each of the nine pixels and 5 in the middle, a sum of 13.
    blurred = of_nine.add_(inner, alpha=4).div_(13)
    if not images.is_floating_point():
        blurred.round_()
    sharp = floats.clone()
    sharp[..., 1:-1, 1:-1] = torch.lerp(blurred, inner, _per_sample(factors, images))
    return sharp.clamp_(0, _brightest(images)).to(images.dtype)


def gaussian_blur(images: Tensor, sigmas: Tensor, kernel_size: int) -> Tensor:
    """Convolves with a Gaussian of standard deviation `sigmas` (B,), in pixels, over `kernel_size` pixels (odd); images
    are mirrored at their borders. Within one level (of 255) of torchvision's, which sums in another order.

    It is two passes, each a sum of pixels that lie alike to both sides. A convolution would round pixels to TF32 on a
    GPU, and on a CPU takes several times as long.
    """
    reach = kernel_size // 2
    distances = torch.arange(reach + 1, dtype=torch.float64)
    weights = torch.exp(-((distances / sigmas[:, None].double()) ** 2) / 2)
    weights = weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])
    weights = weights.to(images.device, torch.float32, non_blocking=True)[..., None, None, None]
    blurred = torch.nn.functional.pad(images.float(), (reach,) * 4, mode="reflect")
    for dimension in (-1, -2):
        length, wide = images.shape[dimension], blurred
        blurred = wide.narrow(dimension, reach, length) * weights[:, 0]
        for distance in range(1, reach + 1):
            before, after = (wide.narrow(dimension, reach + shift, length) for shift in (-distance, distance))
            blurred.addcmul_(before + after, weights[:, distance])
    return blurred if images.is_floating_point() else blurred.round_().to(images.dtype)


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Float images with their hue shifted by `turns` (B,) of the colour wheel, -0.5 .. 0.5."""
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1)
    # In sixths of a turn from red, by the channel that is the brightest.
    hue = torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    hue = torch.where(value == red, (green - blue) / safe, hue).unsqueeze(1) + 6 * _per_sample(turns, images)
    offsets = torch.arange(5, 0, -2, device=images.device).view(3, 1, 1)
    position = (hue + offsets).remainder_(6)
    return value.unsqueeze(1) - torch.minimum(position, 4 - position).clamp_(0, 1).mul_(chroma.unsqueeze(1))


JITTER = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
"""The operations of a colour jitter. The random order of a batch is one of their places here."""

CONTRAST = JITTER.index(adjust_contrast)
"""The one that needs all pixels of an image."""


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """uint8 images reduced to their highest `bits` (B,), 0 .. 8."""
    masks = (256 - 2 ** (8 - bits.long())).to(torch.uint8)
    return images & masks.view(-1, 1, 1, 1).to(images.device, non_blocking=True)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """uint8 images, inverted where they are at least as bright as `thresholds` (B,)."""
    return torch.where(images >= _per_sample(thresholds, images), images.bitwise_not(), images)


def autocontrast(images: Tensor) -> Tensor:
    """uint8 images with each channel stretched to 0 .. 255; a channel of one value stays as it is.

    torchvision's writes through a mask, which may make the host wait for a GPU.
    """
    floats = images.float()
    darkest, brightest = floats.amin((-2, -1), keepdim=True), floats.amax((-2, -1), keepdim=True)
    level = (brightest - darkest) * (1 / 255)
    darkest, level = torch.where(level > 0, darkest, 0), torch.where(level > 0, level, 1)
    return floats.sub_(darkest).div_(level).clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    grey = red.mul(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).unsqueeze(1)
    return grey if images.is_floating_point() else grey.floor_()


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    # In torchvision's order of operations: truncation to uint8 depends on the last bit of the float.
    blended = (images * _per_sample(factors, images)).addcmul_(others, _per_sample(1 - factors, images))
    return blended.clamp_(0, _brightest(images)).to(images.dtype)


def _brightest(images: Tensor) -> int:
    return 1 if images.is_floating_point() else 255


def _per_sample(values: Tensor, images: Tensor) -> Tensor:
    dtype = images.dtype if images.is_floating_point() else torch.float32
    return values.to(images.device, dtype, non_blocking=True).view(-1, 1, 1, 1)
