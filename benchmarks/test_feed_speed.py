"""Images per second from files to normalised batches at 224 px: the decoded store against decoding every epoch.

`ImageFolder` with Pillow and a `DataLoader` is how peers feed a training; the worker processes are kept over the
epochs, as is best for them. The photos are as large as those of CUB-200-2011.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from datasets import Dataset, open_dataset
from datasets.augment import MEAN, STD, Augment, test_batch, train_batch
from datasets.feed import Feed
from datasets.sources import Stored
from datasets.storage import open_store

PHOTOS, BATCH, STORED, CROP = 128, 32, 256, 224
SETTINGS = {
    "random": Augment(),
    "resized": Augment(crop="resized"),
    "everything": Augment(
        crop="resized", rotation=15, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, erase=0.25
    ),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """JPEG files of 500 x 375 px with as much detail as a photo (about 60 kB)."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for number in range(PHOTOS):
        folder = root / "photos" / ("test" if number < 2 else "train") / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=85)
    return open_dataset("photos", root)


@pytest.fixture(scope="module")
def feed(photos: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Feed:
    store = open_store(photos, STORED, "squash", tmp_path_factory.mktemp("cache"))
    return Feed(Stored(store, torch.device("cpu")), photos.split(0)["train"], photos.labels, BATCH)


def measure(benchmark: Any, work: Callable[[], Iterable[Any]], images: int) -> None:
    """An epoch, some times over; images per second of the median go into the record."""

    def epoch() -> None:
        for _ in work():
            pass

    benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["images/s"] = round(images / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="feed and augment 224 px")
@pytest.mark.parametrize("settings", SETTINGS)
def test_store_feed_and_batched_augmentation(benchmark: Any, feed: Feed, settings: str) -> None:
    generator = torch.Generator().manual_seed(0)
    chosen = SETTINGS[settings]
    measure(
        benchmark,
        lambda: (train_batch(batch, chosen, CROP, generator) for batch in feed.batches(0)),
        len(feed.rows),
    )


@pytest.mark.benchmark(group="feed and augment 224 px")
def test_store_feed_and_centre_crop(benchmark: Any, feed: Feed) -> None:
    measure(benchmark, lambda: (test_batch(batch, CROP) for batch in feed.batches(0)), len(feed.rows))


@pytest.mark.benchmark(group="feed and augment 224 px")
def test_image_folder_and_data_loader(benchmark: Any, photos: Dataset, feed: Feed) -> None:
    del feed  # the same images in the same folder
    transform = v2.Compose(
        [
            v2.Resize((STORED, STORED)),
            v2.RandomCrop(CROP),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    folder = Path(photos.root) / "train"  # type: ignore[attr-defined]
    loader = DataLoader(
        ImageFolder(str(folder), transform),
        BATCH,
        shuffle=True,
        num_workers=min(os.cpu_count() or 1, 16),
        persistent_workers=True,
    )
    measure(benchmark, lambda: loader, len(loader.dataset))  # type: ignore[arg-type]


@pytest.mark.benchmark(group="build a store of 256 px")
@pytest.mark.parametrize("rule", ["squash", "short_side"])
def test_build_of_a_store(benchmark: Any, photos: Dataset, tmp_path: Path, rule: Any) -> None:
    caches = iter(range(100))
    measure(benchmark, lambda: [open_store(photos, STORED, rule, tmp_path / str(next(caches)))], len(photos))
