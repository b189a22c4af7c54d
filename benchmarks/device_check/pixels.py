"""Whether images are the same on this device: augmented as on the CPU, and fed alike by all feed modes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from benchmarks.device_check.finding import Finding
from benchmarks.device_check.photographs import photographs, smooth_images
from datasets.loading import augment
from datasets.loading.feed import Batch, Feed
from datasets.loading.sampling import batch_generator
from datasets.loading.sources import open_source
from results.augmentation import Augment, Policy
from results.settings import FeedMode

LEVELS = 1.01
"""Of 255: a pixel may differ by one, which rounding decides."""
MOST_BEYOND = 1e-3
"""Share of the pixels that may differ by more, after RandAugment alone: its second operation may amplify the one level
by which the first may differ (solarize inverts, equalize stretches)."""
AUGMENTATIONS: dict[str, Augment] = {
    "random crop": Augment(),
    "resized crop": Augment(crop="resized"),
    "whole image": Augment(crop="resize"),
    "rotation": Augment(rotation=15),
    "colour jitter": Augment(brightness=0.2, contrast=0.2, saturation=0.5, hue=0.1),
    "random erasing": Augment(erase=1.0),
    "TrivialAugment": Augment(policy=Policy(name="trivialaugment")),
    "RandAugment": Augment(policy=Policy(name="randaugment")),
}
STORED, CROP, IMAGES = 120, 96, 16
FEED_MODES: tuple[FeedMode, ...] = tuple(mode for mode in get_args(FeedMode) if mode != "auto")


def check_augmentation(device: str) -> Finding:
    """Compares every augmentation on the device with the same on the CPU, for images of several sizes."""
    batch = ragged_batch()
    return judged(
        {
            name: (pixels_of(batch, settings), pixels_of(moved(batch, device), settings))
            for name, settings in AUGMENTATIONS.items()
        }
    )


def ragged_batch() -> Batch:
    """Images of three sizes, padded as a feed pads them, on the CPU."""
    images = smooth_images(IMAGES, STORED, STORED)
    sizes = torch.full((IMAGES, 2), STORED)
    sizes[::3, 0] -= 8
    sizes[1::3, 1] -= 16
    for image, (height, width) in zip(images, sizes.tolist(), strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return Batch(images, sizes, torch.arange(IMAGES), np.arange(IMAGES))


def moved(batch: Batch, device: str) -> Batch:
    """The batch on the device; sizes stay on the host."""
    return Batch(batch.images.to(device), batch.sizes, batch.labels.to(device), batch.rows)


def pixels_of(batch: Batch, settings: Augment) -> Tensor:
    """Augmented images `(B, 3, CROP, CROP)` in levels of 0 .. 255, on the host; always of the same draws."""
    images = augment.train_batch(batch, settings, CROP, batch_generator(0, 0, 0)).cpu()
    mean, std = (torch.tensor(of)[:, None, None] for of in (augment.IMAGENET.mean, augment.IMAGENET.std))
    return 255 * (images * std + mean)


def judged(pairs: dict[str, tuple[Tensor, Tensor]]) -> Finding:
    """Wrong if the pixels of a pair differ by more than a level; `pairs` by the name of the augmentation."""
    numbers: dict[str, float] = {}
    wrong = []
    for name, (reference, found) in pairs.items():
        apart = (found - reference).abs()
        levels = apart.nan_to_num(255, 255).max().item()
        beyond = (~(apart <= LEVELS)).double().mean().item()
        numbers |= {f"{name}, levels": levels, f"{name}, share beyond": beyond}
        if beyond > (MOST_BEYOND if name == "RandAugment" else 0):
            wrong.append(f"{name} differs by {levels:.0f} levels")
    if wrong:
        return Finding("wrong", "; ".join(wrong), numbers)
    return Finding("ok", f"{len(pairs)} augmentations within one level of the CPU's", numbers)


def check_feeds(device: str) -> Finding:
    """Compares the pixels and labels that each feed mode brings to the device, for images of several sizes."""
    with photographs(24, 64) as dataset:
        rows = dataset.split(0.0)["train"]
        batches = {}
        for mode in FEED_MODES:
            source = open_source(dataset, 64, "short_side", torch.device(device), mode)
            feed = Feed(source, rows, dataset.labels, 8)
            batches[mode] = [(one.images.cpu(), one.sizes, one.labels.cpu()) for one in feed.batches(0)]
    first, *others = FEED_MODES
    wrong = [f"{mode} differs from {first}" for mode in others if not same(batches[mode], batches[first])]
    return Finding("wrong", "; ".join(wrong)) if wrong else Finding("ok", f"{', '.join(FEED_MODES)}: the same batches")


def same(left: Sequence[Iterable[Tensor]], right: Sequence[Iterable[Tensor]]) -> bool:
    """Whether two sequences of batches are the same, bit for bit."""
    return len(left) == len(right) and all(
        torch.equal(one, other)
        for batch, twin in zip(left, right, strict=True)
        for one, other in zip(batch, twin, strict=True)
    )
