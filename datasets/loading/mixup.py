"""mixup and CutMix by torchvision: each image of a batch is mixed with its neighbour, and its label likewise.

Whether a batch is mixed, how and with which share is drawn once per batch, as in both papers.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torchvision.transforms import v2

from results.augmentation import Mixing


def mix(
    images: Tensor, labels: Tensor, classes: int, settings: Mixing, epoch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixed images and their class probabilities `(B, classes)` float32, on the device of the images.

    `images` `(B, 3, H, W)` float, `labels` (B,) int64, `epoch` from 0, `generator` on the host. If mixing is off or has
    ended, images and labels are returned unchanged. A process that has part of a batch mixes its own images, with the
    draws of the whole batch.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    if not settings.active or (settings.epochs is not None and epoch >= settings.epochs):
        return images, labels
    one_hot = (labels[:, None] == torch.arange(classes, device=labels.device)).float()
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the host's global generator
        torch.default_generator.manual_seed(seed)
        mixed: tuple[Tensor, Tensor] = _transform(settings)(images, one_hot)
    return mixed


@cache
def _transform(settings: Mixing) -> v2.Transform:
    alphas = {v2.MixUp: settings.mixup, v2.CutMix: settings.cutmix}
    kinds = [kind(alpha=alpha) for kind, alpha in alphas.items() if alpha]
    return v2.RandomApply([v2.RandomChoice(kinds)], settings.probability)
