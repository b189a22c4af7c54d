"""Images per second from files to augmented batches on the device, for every feed mode, in total and by stage.

Uses a GPU if there is one. Other benchmarks feed a training with `ImageFolder`, Pillow and a `DataLoader`; here its
worker processes persist over epochs, which is best for it, and photos are as large as those of CUB-200-2011.
Alternatives are timed in turns, so that a busy machine affects all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.training.optim import take_steps
from datasets import Dataset, open_dataset
from datasets.loading.augment import IMAGENET, test_batch, train_batch
from datasets.loading.feed import Feed
from datasets.loading.on_device import padded_batch
from datasets.loading.sampling import batch_generator
from datasets.loading.sources import Source, StoreSource, open_source, pinned, resident
from datasets.loading.store import Store, open_store
from methods.backbones import TimmBackbones
from methods.plain.model import Plain
from results.augmentation import Augment
from results.settings import FeedMode
from tests.helpers.speed import CUDA, DEVICE, finish, seconds

PHOTOS, BATCH, STORED, CROP = 128, 32, 256, 224
FEED_MODES: tuple[FeedMode, ...] = ("resident", "pinned", "mapped", "streamed")
AUGMENT = {
    "random": Augment(),
    "resized": Augment(crop="resized"),
    "everything": Augment(
        crop="resized", rotation=15, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, erase=0.25
    ),
}
PEERS = {
    "random": [v2.Resize((STORED, STORED)), v2.RandomCrop(CROP)],
    "resized": [v2.RandomResizedCrop(CROP)],
}
TRAINING = ("resnet50", 448, 512, 64, 2048) if CUDA else ("test_resnet", 96, 112, 16, 96)
"""Backbone, crop, stored size, batch, images."""


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
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def peers(photos: Dataset) -> dict[str, Callable[[], None]]:
    """An epoch of the data loader for each augmentation."""
    return {name: peers_epoch(photos, crop) for name, crop in PEERS.items()}


def peers_epoch(photos: Dataset, crop: list[Any]) -> Callable[[], None]:
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    transform = v2.Compose([*crop, v2.RandomHorizontalFlip(), *to_tensor])
    loader = DataLoader(
        ImageFolder(str(photos.image_folder / "train"), transform),  # type: ignore[attr-defined]
        BATCH,
        shuffle=True,
        num_workers=min(os.cpu_count() or 1, 16),
        persistent_workers=True,
        pin_memory=CUDA,
    )
    return lambda: use_up(images.to(DEVICE, non_blocking=True) for images, _ in loader)


def use_up(batches: Iterable[object]) -> None:
    for _ in batches:
        pass
    finish()


def augmented(feed: Feed, settings: Augment, size: int) -> Iterator[torch.Tensor]:
    """An epoch as the trainer sees it."""
    for number, batch in enumerate(feed.batches(0)):
        yield train_batch(batch, settings, size, batch_generator(0, 0, number))


def measure(benchmark: Any, epoch: Callable[[], None], images: int) -> None:
    benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["device"] = DEVICE.type
        benchmark.extra_info["images/s"] = round(images / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="feed and augment 224 px")
@pytest.mark.parametrize("settings", AUGMENT)
@pytest.mark.parametrize("feed_mode", FEED_MODES)
def test_feed_and_augmentation(
    benchmark: Any,
    photos: Dataset,
    cache: Path,
    peers: dict[str, Callable[[], None]],
    feed_mode: FeedMode,
    settings: str,
) -> None:
    """Every feed mode against the data loader, where it does the same. The aim is 5 times its speed from the store."""
    source = open_source(photos, STORED, "squash", DEVICE, feed_mode, cache)
    feed = Feed(source, photos.split(0)["train"], photos.labels, BATCH)

    def epoch() -> None:
        use_up(augmented(feed, AUGMENT[settings], CROP))

    measure(benchmark, epoch, len(feed.rows))
    if benchmark.enabled and settings in peers:
        times = seconds({"ours": epoch, "peers": peers[settings]})
        benchmark.extra_info["peers' images/s"] = round(len(feed.rows) / times["peers"])
        benchmark.extra_info["times as fast as peers"] = round(times["peers"] / times["ours"], 2)


@pytest.mark.benchmark(group="feed and augment 224 px, stage by stage")
def test_stages(benchmark: Any, photos: Dataset, cache: Path) -> None:
    """Images/s of each stage on its own."""
    store = open_store(photos, STORED, "squash", cache)
    rows = photos.split(0)["train"][:BATCH]
    host, _ = store.images(rows)
    batch = next(Feed(StoreSource(store, DEVICE), rows, photos.labels, BATCH).batches(0))
    stages: dict[str, Callable[[], object]] = {
        "decode and resize": lambda: use_up(open_source(photos, STORED, "squash", DEVICE, "streamed").batches([rows])),
        "read from the store": lambda: store.images(rows),
        "to the device": lambda: host.to(DEVICE, copy=True),
        "to the device, pinned": lambda: host.pin_memory().to(DEVICE, non_blocking=True),
        "centre crop": lambda: test_batch(batch, CROP),
        **{
            f"augment: {name}": lambda chosen=chosen: train_batch(batch, chosen, CROP, batch_generator(0, 0, 0))
            for name, chosen in AUGMENT.items()
        },
    }
    if not CUDA:
        del stages["to the device, pinned"]
    benchmark.pedantic(stages["read from the store"], rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        for name, time in seconds(stages).items():
            benchmark.extra_info[name] = round(BATCH / time)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Random pixels at the size of a real training, memory-mapped."""
    _, _, size, _, count = TRAINING
    file = tmp_path_factory.mktemp("large") / "pixels.bin"
    generator = np.random.default_rng(0)
    with file.open("wb") as out:
        for _ in range(count):
            out.write(generator.bytes(3 * size * size))
    sizes = np.full((count, 2), size, dtype=np.int64)
    offsets = np.arange(count + 1, dtype=np.int64) * 3 * size * size
    pixels = torch.from_file(str(file), shared=True, size=int(offsets[-1]), dtype=torch.uint8)
    checksums, unchecked = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=bool)
    return Store(pixels, offsets, sizes, checksums, unchecked, [""] * count, file.parent)


SOURCES: dict[str, Callable[[Store, torch.device], Source]] = {
    "resident": resident,
    "pinned": pinned,
    "mapped": StoreSource,
}


def feed_of(store: Store, feed_mode: str) -> Feed:
    _, _, _, size, count = TRAINING
    return Feed(SOURCES[feed_mode](store, DEVICE), np.arange(count), np.arange(count) % 200, size)


@pytest.mark.benchmark(group="crops at the size of a training")
@pytest.mark.parametrize("feed_mode", SOURCES)
def test_crops(benchmark: Any, large: Store, feed_mode: str) -> None:
    """Random crop, flip and normalisation, at 448 px on a GPU. The aim there is 30 000 images/s in resident mode."""
    feed = feed_of(large, feed_mode)
    measure(benchmark, lambda: use_up(augmented(feed, Augment(), TRAINING[1])), len(feed.rows))


@pytest.mark.benchmark(group="batches of several sizes on the device")
def test_padded_batches(benchmark: Any, photos: Dataset, cache: Path) -> None:
    """All rows of all images at once, against one copy for each image."""
    rows = np.arange(PHOTOS).repeat(2)[:BATCH]
    held = open_store(photos, STORED, "short_side", cache).to(DEVICE, rows)
    sizes, offsets = torch.from_numpy(held.sizes), torch.from_numpy(held.offsets[:-1])

    def at_once() -> torch.Tensor:
        return padded_batch(held.pixels, offsets, sizes)

    def one_by_one() -> torch.Tensor:
        images = held.pixels.new_zeros((BATCH, 3, *sizes.amax(0).tolist()))
        for row in range(BATCH):
            height, width = held.sizes[row].tolist()
            images[row, :, :height, :width] = held.image(row)
        return images

    assert torch.equal(at_once(), one_by_one())
    measure(benchmark, lambda: use_up([at_once()]), BATCH)
    if benchmark.enabled:
        times = seconds({"ours": at_once, "one by one": one_by_one})
        benchmark.extra_info["time of one by one / ours"] = round(times["one by one"] / times["ours"], 2)


@pytest.mark.benchmark(group="training epoch")
@pytest.mark.parametrize("feed_mode", SOURCES)
def test_training_epoch_against_one_batch_that_never_changes(benchmark: Any, large: Store, feed_mode: str) -> None:
    """The cost of the feed in a training. The aim on a GPU is 3 % in resident and 10 % in pinned mode."""
    backbone, image_size, *_ = TRAINING
    feed = feed_of(large, feed_mode)
    method = Plain(TimmBackbones(backbone, image_size), 200).to(DEVICE).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-6, momentum=0.9)
    constant = next(augmented(feed, Augment(), image_size)).contiguous(memory_format=torch.channels_last)
    labels = next(feed.batches(0)).labels

    def train(batches: Iterable[torch.Tensor]) -> None:
        for batch in batches:
            images = batch.contiguous(memory_format=torch.channels_last)
            for _ in take_steps(method, images, labels, optimizer, "bf16" if CUDA else "fp32"):
                pass
        finish()

    def fed() -> None:
        train(augmented(feed, Augment(), image_size))

    benchmark.pedantic(fed, rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        times = seconds({"fed": fed, "constant": lambda: train([constant] * len(feed))})
        benchmark.extra_info["device"] = DEVICE.type
        benchmark.extra_info["images/s"] = round(len(feed.rows) / times["fed"])
        benchmark.extra_info["time over a batch that never changes"] = round(times["fed"] / times["constant"], 3)
