"""Augmentation of a whole batch on its device, with random parameters for each sample.

Order and pixels are those of torchvision's `Compose([RandomRotation, RandomCrop | RandomResizedCrop | CenterCrop |
Resize, RandomHorizontalFlip, GaussianBlur, RandomAdjustSharpness, TrivialAugmentWide | RandAugment, ColorJitter,
Normalize, RandomErasing])`; blur and sharpness stand where PIM's code has them. All random numbers are drawn on the
host, the same number for any settings. So a seed gives the same augmentation on any device, enabling one operation
doesn't change the draws of the others, and the host never waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from datasets.loading import colour, compiled, pixels, policies
from datasets.loading.feed import Batch
from results.augmentation import Augment, InputScaling

IMAGENET = InputScaling()
"""Where nothing says what the network's weights were trained with."""

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)
"""Range of the area and aspect ratio of an erased rectangle: torchvision's RandomErasing (arXiv 1708.04896)."""

CROP_ATTEMPTS = 10
"""Attempts at a resized crop before the largest centred one is used: torchvision's number."""

CPU_CHUNK, GPU_CHUNK = 4, 16
"""Images whose colours are jittered at a time. The floats of more would not fit a CPU's cache; on a GPU, the several
float32 copies that jitter makes of them would take memory from the network."""

DRAWS = 3 * CROP_ATTEMPTS + 16
"""Uniform numbers per sample, whatever the settings. 0: rotation; 1: flip; 2, 3: crop; 4 .. 7: colours; 8 .. 12:
erasing; 13, 14: blur; 15: sharpness; the rest: resized crop."""


def train_batch(
    batch: Batch,
    settings: Augment,
    image_size: int,
    generator: torch.Generator,
    start: int = 0,
    whole: int | None = None,
    scaling: InputScaling = IMAGENET,
    compile: bool = False,
) -> Tensor:
    """Augmented, normalised images `(B, 3, image_size, image_size)` float32 on the batch's device.

    With `compile`, policy and colours go through torch.compile on a GPU; on a CPU nothing changes.

    `generator` is on the host. A process that has part of a batch passes where its part starts and the size of the
    whole batch: each image is then augmented as if one process had them all. Raises `ValueError` if a stored image is
    smaller, even with its padding, than a `random` or `center` crop.
    """
    own = slice(start, start + len(batch))
    draws = torch.rand(whole or len(batch), DRAWS, generator=generator)[own]
    order = torch.randperm(4, generator=generator).tolist()
    policy_draws = torch.rand(whole or len(batch), policies.DRAWS, generator=generator)[own]
    images, sizes = batch.images, batch.sizes
    if settings.rotation:
        angles = _between(draws[:, 0], -settings.rotation, settings.rotation)
        images = pixels.rotate(images, sizes, angles)
    images = _crop_and_flip(images, sizes, settings, image_size, draws)
    images = _blur_and_sharpen(images, settings, draws[:, 13:16])
    fused = compile and images.device.type != "cpu"
    images = policies.apply(images, settings.policy, policy_draws, compiled.operate if fused else policies.operate)
    active = [number for number in order if _strengths(settings)[number]]
    factors = _colour_factors(settings, draws[:, 4:8])
    rectangles = _rectangles(settings.erase, image_size, draws[:, 8:13]) if settings.erase else None
    if fused:
        return compiled.finish(images, active, factors, rectangles, _scale_and_shift(scaling))
    if not active:
        return _finish(images, active, factors, rectangles, scaling)
    finished = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    count = CPU_CHUNK if images.device.type == "cpu" else GPU_CHUNK
    for part in (slice(first, first + count) for first in range(0, len(images), count)):
        erased = None if rectangles is None else rectangles[part]
        finished[part] = _finish(images[part], active, factors[part], erased, scaling)
    return finished


def test_batch(batch: Batch, image_size: int, scaling: InputScaling = IMAGENET) -> Tensor:  # noqa: PT028 - no test
    """The centre of each stored image, normalised: `(B, 3, image_size, image_size)` float32 on the batch's device.

    Raises `ValueError` if a stored image is smaller.
    """
    _check_size(batch.sizes, image_size)
    corners = _centre_corners(batch.sizes, image_size)
    crops = pixels.crop(batch.images, corners, torch.zeros(len(batch), dtype=torch.bool), image_size)
    return normalise(crops, scaling)


test_batch.__test__ = False  # type: ignore[attr-defined]  # keeps pytest from running it as a test


def normalise(images: Tensor, scaling: InputScaling = IMAGENET) -> Tensor:
    """uint8 or float32 `(B, 3, H, W)`, 0 .. 255, to the float32 input of a network."""
    scale, shift = _scale_and_shift(scaling)[:, :, None, None].to(images.device, non_blocking=True)
    return images.to(torch.float32, copy=True).mul_(scale).add_(shift)


def _scale_and_shift(scaling: InputScaling) -> Tensor:
    """(2, 3): what levels 0 .. 255 of each channel are multiplied by, and what is added then."""
    scale = [1 / (255 * std) for std in scaling.std]
    return torch.tensor([scale, [-mean / std for mean, std in zip(scaling.mean, scaling.std, strict=True)]])


def original(images: Tensor, scaling: InputScaling) -> Tensor:
    """Reverts `normalise`: uint8 `(B, 3, H, W)`."""
    mean, std = (torch.tensor(of, device=images.device)[:, None, None] for of in (scaling.mean, scaling.std))
    return (255 * (images.float() * std + mean)).round().clamp(0, 255).to(torch.uint8)


def _crop_and_flip(images: Tensor, sizes: Tensor, settings: Augment, image_size: int, draws: Tensor) -> Tensor:
    """Crops and flips each image to `(B, 3, image_size, image_size)`."""
    flips = draws[:, 1] < settings.flip
    if settings.crop in ("resized", "resize"):
        boxes = torch.cat([torch.zeros_like(sizes), sizes], 1)
        if settings.crop == "resized":
            boxes = resized_crop_boxes(sizes, settings.scale, settings.ratio, draws[:, -3 * CROP_ATTEMPTS :])
        return pixels.resized_crop(images, boxes, flips, image_size)
    padding = settings.padding
    _check_size(sizes, image_size, padding)
    if settings.crop == "center":
        return pixels.crop(images, _centre_corners(sizes, image_size), flips, image_size)
    corners = random_corners(sizes + 2 * padding, image_size, draws[:, 2:4]) - padding
    return pixels.crop(images, corners, flips, image_size, sizes if padding else None)


def _blur_and_sharpen(images: Tensor, settings: Augment, draws: Tensor) -> Tensor:
    """`draws` (B, 3): whether an image is blurred, how much, and whether it is sharpened."""
    blur, sharpness = settings.blur, settings.sharpness
    sigmas = _between(draws[:, 1], *blur.sigma)
    images = _some(
        images,
        draws[:, 0] < blur.probability,
        sigmas,
        lambda some, of: colour.gaussian_blur(some, of, blur.kernel_size),
    )
    factors = torch.full_like(sigmas, sharpness.factor)
    return _some(images, draws[:, 2] < sharpness.probability, factors, colour.adjust_sharpness)


def _some(images: Tensor, chosen: Tensor, parameters: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The images, of which those that are `chosen` (B,) go through the operation with their `parameters` (B,)."""
    places = chosen.nonzero().flatten()  # on the host
    if not len(places):
        return images
    there = places.to(images.device, non_blocking=True)
    return images.index_copy(0, there, operation(images[there], parameters[places]))


def _between(draws: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * draws


def _check_size(sizes: Tensor, image_size: int, padding: int = 0) -> None:
    smallest = int(sizes.min())
    if smallest + 2 * padding < image_size:
        raise ValueError(
            f"a stored image has a side of {smallest} px, too small for a crop of {image_size} px: "
            f"raise the stored size to {image_size} or more, or lower the input size"
        )


def random_corners(sizes: Tensor, image_size: int, draws: Tensor) -> Tensor:
    """(B, 2) top, left, uniform over all windows inside the image."""
    places = sizes - image_size + 1
    return torch.minimum((draws * places).long(), places - 1)


def _centre_corners(sizes: Tensor, image_size: int) -> Tensor:
    return ((sizes - image_size) / 2).round().long()


def resized_crop_boxes(sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float], draws: Tensor) -> Tensor:
    """(B, 4) top, left, height, width in whole pixels, distributed as in torchvision's RandomResizedCrop.

    `draws` (B, 3 * attempts): uses the first attempt that fits the image, or else the largest centred box within
    `ratio`.
    """
    area_draw, ratio_draw, place_draw = draws.double().unflatten(1, (3, -1)).unbind(1)
    height, width = sizes.double().unsqueeze(-1).unbind(1)
    area = height * width * _between(area_draw, *scale)
    aspect = _between(ratio_draw, math.log(ratio[0]), math.log(ratio[1])).exp()
    box_width, box_height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (box_width >= 1) & (box_width <= width) & (box_height >= 1) & (box_height <= height)
    first = fits.int().argmax(1, keepdim=True)

    whole = (width / height).clamp(*ratio)
    fallback_width = torch.minimum(width, (height * whole).round())
    fallback_height = torch.minimum(height, (width / whole).round())
    found = fits.any(1, keepdim=True)
    box_height = torch.where(found, box_height.gather(1, first), fallback_height)
    box_width = torch.where(found, box_width.gather(1, first), fallback_width)
    spare = torch.cat([height - box_height, width - box_width], 1)
    corner = torch.minimum((place_draw[:, :2] * (spare + 1)).floor(), spare)
    corner = torch.where(found, corner, (spare / 2).floor())
    return torch.cat([corner, box_height, box_width], 1).long()


def _finish(
    images: Tensor, order: list[int], factors: Tensor, rectangles: Tensor | None, scaling: InputScaling
) -> Tensor:
    """Jitters colours, normalises and erases uint8 images.

    `order`: places in `colour.JITTER` of the operations, the first to apply first.
    """
    if order:
        images = images.float() / 255
        for number in order:
            images = colour.JITTER[number](images, factors[:, number])
        images = images * 255
    images = normalise(images, scaling)
    return images if rectangles is None else pixels.erase(images, rectangles[:, :2], rectangles[:, 2:])


def _strengths(settings: Augment) -> tuple[float, ...]:
    """Of the operations of `colour.JITTER`; 0: it is off."""
    return settings.brightness, settings.contrast, settings.saturation, settings.hue


def _colour_factors(settings: Augment, draws: Tensor) -> Tensor:
    """Parameters (B, 4) of the operations of `colour.JITTER` from `draws` (B, 4)."""
    *strengths, hue = _strengths(settings)
    ranges = [*((max(0.0, 1 - strength), 1 + strength) for strength in strengths), (-hue, hue)]
    return torch.stack([_between(draw, *limits) for draw, limits in zip(draws.unbind(1), ranges, strict=True)], 1)


def _rectangles(probability: float, size: int, draws: Tensor) -> Tensor:
    """Rectangles (B, 4: top, left, height, width) to erase: to set to zero, the mean colour of the scaling.

    `draws` (B, 5): whether, area, ratio, top, left.
    """
    area = size * size * _between(draws[:, 1], *ERASED_AREA)
    ratio = _between(draws[:, 2], math.log(ERASED_RATIO[0]), math.log(ERASED_RATIO[1])).exp()
    extent = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).round().clamp(1, size - 1)
    corner = (draws[:, 3:] * (size - extent + 1)).floor()
    return torch.cat([corner, extent * (draws[:, :1] < probability)], 1)
