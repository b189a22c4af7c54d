"""mixup and CutMix: each image of a batch takes a share of its neighbour's pixels, and of its label.

Pixels and labels are those of torchvision's `MixUp` and `CutMix`, with a share for each sample of its own.
"""

from __future__ import annotations

import torch
from scipy.special import betaincinv
from torch import Tensor

from datasets.loading import pixels
from results.augmentation import Mixing

DRAWS = 5
"""Uniform numbers per sample: whether it is mixed, by which of the two, the share it keeps, the box's centre."""


def mix(
    images: Tensor,
    labels: Tensor,
    classes: int,
    settings: Mixing,
    epoch: int,
    generator: torch.Generator,
    start: int = 0,
    whole: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Mixed images and the class probabilities `(B, classes)` float32 that go with them, on the images' device.

    `images` `(B, 3, H, W)` float, `labels` (B,) int64, `epoch` counts from 0, `generator` is one of the host. Images
    and labels come back as they are where nothing is mixed; as much is drawn, so that all else is drawn alike.
    `start`, `whole`: as in `train_batch`; the neighbours of a share are its own images.
    """
    draws = torch.rand(whole or len(images), DRAWS, generator=generator)[start : start + len(images)]
    if not settings.active or (settings.epochs is not None and epoch >= settings.epochs):
        return images, labels
    height, width = images.shape[-2:]
    corners, extents, share = _boxes(settings, height, width, draws)
    inside = pixels.rectangles(corners, extents, height, width, images.device)
    covered = extents.prod(1) / (height * width)
    share, kept = (value.float().to(images.device, non_blocking=True) for value in (share, 1 - covered * (1 - share)))
    mixed = torch.lerp(images.roll(1, 0), images, torch.where(inside, share.view(-1, 1, 1, 1), 1.0))
    own = (labels[:, None] == torch.arange(classes, device=labels.device)).float()
    return mixed, torch.lerp(own.roll(1, 0), own, kept[:, None])


def _boxes(settings: Mixing, height: int, width: int, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The box (B, 2: top, left) (B, 2: height, width) in which a sample keeps only a share (B,) of itself.

    CutMix keeps nothing in its box; the box of mixup is the whole image.
    """
    whether, which, share, *centre = draws.double().unbind(1)
    mixed = whether < settings.probability
    cut = which < (0.5 if settings.mixup and settings.cutmix else float(settings.cutmix > 0))
    alpha = torch.where(cut, settings.cutmix, settings.mixup)
    share = torch.from_numpy(betaincinv(alpha.numpy(), alpha.numpy(), share.numpy()))  # Beta's quantile function

    whole = torch.tensor([height, width])
    middle = (torch.stack(centre, 1) * whole).long()
    half = (0.5 * (1 - share).sqrt()[:, None] * whole).long()
    start, end = (middle - half).clamp(min=0), torch.minimum(middle + half, whole)
    corners = torch.where(cut[:, None], start, 0)
    extents = torch.where(cut[:, None], end - start, whole) * mixed[:, None]
    return corners, extents, torch.where(cut, 0.0, share)
