"""Images for checks of feed and augmentation: JPEG files of several sizes, in the layout of people's own images."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import datasets
from datasets.interface import Dataset

CLASSES = 4
QUALITY = 90
"""Of the JPEG files, about that of photographs on the web."""


def smooth_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 images `(count, 3, height, width)` with the smooth areas and the noise of photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    noise = 12 * torch.randn(count, 3, height, width, generator=generator)
    return (255 * smooth + noise).clamp(0, 255).to(torch.uint8)


@contextlib.contextmanager
def photographs(count: int, size: int) -> Iterator[Dataset]:
    """A dataset of `count` training images, whose shorter side is `size` px; its files are gone at the end.

    Within, decoded images are kept with them, not in the user's cache.
    """
    with tempfile.TemporaryDirectory(prefix="fgbench-") as made, _cache(Path(made, "cache")):
        root = Path(made)
        one_of_each = [smooth_images(1, size, size + size // 4 * (kind % 3), kind)[0] for kind in range(CLASSES)]
        for number in range(count + CLASSES):
            split, kind = ("train" if number < count else "test"), number % CLASSES
            folder = root / "photographs" / split / f"class{kind}"
            folder.mkdir(parents=True, exist_ok=True)
            # Moved a little for each file: no two are the same image.
            pixels = np.roll(one_of_each[kind].permute(1, 2, 0).numpy(), 3 * number, axis=1)
            Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=QUALITY)
        yield datasets.open_dataset("photographs", root)


@contextlib.contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Within, this is the cache folder."""
    before = os.environ.get("FGBENCH_CACHE")
    os.environ["FGBENCH_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FGBENCH_CACHE"]
        else:
            os.environ["FGBENCH_CACHE"] = before
