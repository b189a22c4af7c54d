"""The ways of the images to the device, all with the same pixels in the same order; which is taken is what fits.

| way        | the pixels lie             | and reach the device                                           |
|------------|----------------------------|----------------------------------------------------------------|
| `resident` | on the device              | once; a batch is one gather there                              |
| `pinned`   | in the memory-mapped store | ahead of use, through pinned memory, on a stream of their own  |
| `mapped`   | in the memory-mapped store | when they are asked for                                        |
| `streamed` | in the dataset's own files | like `pinned`, decoded and resized ahead of use by all cores   |

A CPU takes `mapped` where a GPU takes `pinned`: from pages that lie in memory, reading ahead made feed and augmentation
7 % slower there (two shared cores, 224 px). A GPU could decode JPEGs faster than the host; but nvJPEG's pixels are not
libjpeg's, and an accuracy would then depend on the way its images took.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.cores import usable_cores
from datasets.interface import Dataset
from datasets.loading.prefetch import ahead, map_groups
from datasets.loading.store import Progress, ResizeRule, Store, open_store, resized
from results.settings import FeedMode

Images = tuple[Tensor, Tensor]
"""Images `(B, 3, H, W)` uint8 on the device; sizes `(B, 2)` height, width of each within H, W, on the host."""

Arriving = tuple[Tensor, Tensor, torch.cuda.Event | None]
"""Images, and what happens when they are whole; None: they are."""

DEVICE_SHARE = 0.5
"""Of the device's free memory that images may take; the rest is the training's."""
HOST_SHARE = 0.75
"""Of the host's available memory that images may take, as pages of the memory map."""
LONGEST_ASPECT = 1.5
"""Of most photos: what a `short_side` store is estimated by before the images are read."""
DEPTH = 2
"""Batches made ready ahead of the one in use; while one is used, the next is under way and one is in reserve."""


class Source(ABC):
    """All images of a dataset, handed out by row number."""

    device: torch.device

    @abstractmethod
    def __len__(self) -> int:
        """Images in all."""

    @abstractmethod
    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        """The images of each batch of row numbers, in order. Raises `DatasetError` if one can't be read."""


class Stored(Source):
    """Images taken from a store at the moment they are asked for: `resident` or `mapped`, by where its pixels lie."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.store, self.device = store, device

    def __len__(self) -> int:
        return len(self.store)

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        for rows in batches:
            images, sizes = self.store.images(rows)
            yield images.to(self.device, non_blocking=True), sizes


class ReadAhead(Source):
    """Images read one by one, put together and brought to the device by a thread, ahead of use.

    `image` gives row number -> `(3, h, w)` uint8. With `threads` it is called by as many at once, else in the thread
    that puts the batches together.
    """

    def __init__(
        self, image: Callable[[int], NDArray[np.uint8]], count: int, device: torch.device, threads: int = 0
    ) -> None:
        self.image, self.count, self.device, self.threads = image, count, device, threads
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return self.count

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        with closing(ahead(self._brought(batches), DEPTH)) as ready:
            for images, sizes, arrived in ready:
                if arrived is not None:
                    current = torch.cuda.current_stream(self.device)
                    current.wait_event(arrived)  # the device waits, not the host
                    images.record_stream(current)  # or the side stream could write the next batch over one in use
                yield images, sizes

    def _brought(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Arriving, None, None]:
        """Batches on their way to the device. Runs in the thread of `ahead`."""
        with closing(self._read(batches)) as read:
            for images in read:
                if self.stream is None:
                    yield *padded(images), None
                    continue
                with torch.cuda.stream(self.stream):
                    host, sizes = padded(images, pinned=True)
                    # Torch keeps freed pinned memory for the next batch, once the copy from it is through: with a
                    # bounded number of batches under way this is a ring of buffers.
                    on_device = host.to(self.device, non_blocking=True)
                    arrived = self.stream.record_event()
                yield on_device, sizes, arrived

    def _read(self, batches: Sequence[NDArray[np.int64]]) -> Generator[list[NDArray[np.uint8]], None, None]:
        groups = (rows.tolist() for rows in batches)
        if self.threads:
            yield from map_groups(self.image, groups, self.threads, DEPTH)
        else:
            yield from ([self.image(row) for row in group] for group in groups)


def padded(images: Sequence[NDArray[np.uint8]], pinned: bool = False) -> Images:
    """One batch on the host of images `(3, h, w)`: each in the upper left corner, zeros around those that are smaller.

    By NumPy, whose copies start no threads (see `datasets.loading.pixels`).
    """
    sizes = torch.tensor([image.shape[1:] for image in images])
    batch = torch.empty((len(images), 3, *sizes.amax(0).tolist()), dtype=torch.uint8, pin_memory=pinned)
    for place, image in zip(batch.numpy(), images, strict=True):
        height, width = image.shape[1:]
        place[:, :height, :width] = image
        place[:, height:] = 0
        place[:, :height, width:] = 0
    return batch, sizes


def resident(store: Store, device: torch.device) -> Source:
    """The whole store copied to the device."""
    return Stored(store.to(device, np.arange(len(store))), device)


def pinned(store: Store, device: torch.device) -> Source:
    """The store read ahead of use."""

    def image(row: int) -> NDArray[np.uint8]:
        flat = store.pixels[store.offsets[row] : store.offsets[row + 1]].numpy()
        return flat.reshape(3, *store.sizes[row])

    return ReadAhead(image, len(store), device)


def streamed(dataset: Dataset, size: int, rule: ResizeRule, device: torch.device) -> Source:
    """The dataset decoded as it is used, to the pixels that a store of this size and rule would hold."""

    def image(row: int) -> NDArray[np.uint8]:
        return resized(dataset.image(row), size, rule).numpy()

    return ReadAhead(image, len(dataset), device, threads=usable_cores())


def open_source(
    dataset: Dataset,
    size: int,
    rule: ResizeRule,
    device: torch.device,
    way: FeedMode = "auto",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Source:
    """The images of `dataset` at the size and rule of a store, brought to `device` in the way given or the best fit.

    All ways but `streamed` build the store if it isn't there. Raises what `open_store` raises.
    """
    if way == "auto":
        way = choose_feed_mode(expected_bytes(len(dataset), size, rule), device)
    if way == "streamed":
        return streamed(dataset, size, rule, device)
    store = open_store(dataset, size, rule, cache, progress)
    if way == "mapped":
        return Stored(store, device)
    return resident(store, device) if way == "resident" else pinned(store, device)


def choose_feed_mode(needed: int, device: torch.device) -> FeedMode:
    """The fastest way that leaves the training room, if the images need so many bytes."""
    if device.type == "cuda" and needed <= DEVICE_SHARE * free_device_bytes(device):
        return "resident"
    if needed <= HOST_SHARE * psutil.virtual_memory().available:
        return "pinned" if device.type == "cuda" else "mapped"
    return "streamed"


def free_device_bytes(device: torch.device) -> int:
    """What the GPU has left, with what torch holds of it and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def expected_bytes(images: int, size: int, rule: ResizeRule) -> int:
    """Size of a store: exact for `squash`, an estimate for `short_side`."""
    return int(images * 3 * size * size * (LONGEST_ASPECT if rule == "short_side" else 1))
