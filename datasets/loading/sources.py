"""Feed modes: how images reach the device. All give the same pixels in the same order; the fastest that fits is used.

| mode       | the pixels are             | and reach the device                                           |
|------------|----------------------------|----------------------------------------------------------------|
| `resident` | on the device              | once; a batch is one gather there                              |
| `pinned`   | in the memory-mapped store | prefetched through pinned memory, on a stream of their own     |
| `mapped`   | in the memory-mapped store | when a batch is requested                                      |
| `streamed` | in the dataset's own files | like `pinned`, decoded and resized in advance on all cores     |

On a CPU, `mapped` replaces `pinned`: with the pages in memory, prefetching made feed and augmentation 7 % slower there
(two shared cores, 224 px). A GPU could decode JPEGs faster than the host, but nvJPEG's pixels differ from libjpeg's,
and accuracies would depend on the feed mode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import joblib
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.interface import Dataset, OnProgress
from datasets.loading.prefetch import map_in_threads, prefetch
from datasets.loading.store import ResizeRule, Store, open_store, stored_image
from results.settings import FeedMode

Images = tuple[Tensor, Tensor]
"""Images `(B, 3, H, W)` uint8 on the device; their sizes `(B, 2)` height, width within H, W, on the host."""

Arriving = tuple[Tensor, Tensor, torch.cuda.Event | None]
"""Images, sizes, and the event that ends their copy; None without a copy."""

DEVICE_SHARE = 0.5
"""Share of the device's free memory that images may use; the rest is for training."""
HOST_SHARE = 0.75
"""Share of the host's available memory that the memory map may use."""
LONGEST_ASPECT = 1.5
"""Of most photos: estimates the size of a `short_side` store before the images are read."""
DEPTH = 2
"""Batches prepared in advance: one on its way and one in reserve."""


class Source(ABC):
    """All images of a dataset, addressed by row number."""

    device: torch.device
    resident_bytes: int = 0
    """Bytes of images that are kept on the device; 0 where each batch is brought there."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        """The images of each batch of row numbers, in order. Raises `DatasetError` if one can't be read."""

    def close(self) -> None:  # noqa: B027 - most sources have nothing to do
        """Called when no batch is asked for any more."""

    def give_up(self) -> None:
        """The same, if that is because the device has too little memory beside the images."""
        self.close()


class StoreSource(Source):
    """Images taken from a store on request: `resident` or `mapped`, depending on where its pixels are."""

    def __init__(self, store: Store, device: torch.device, resident: bool = False) -> None:
        """`resident`: whether the store's pixels are kept on the device."""
        self.store, self.device = store, device
        self.resident_bytes = store.pixels.nbytes if resident else 0

    def __len__(self) -> int:
        return len(self.store)

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        for rows in batches:
            images, sizes = self.store.images(rows)
            yield images.to(self.device, non_blocking=True), sizes


class PrefetchedSource(Source):
    """Images read one by one, assembled to batches and copied to the device by a thread, in advance.

    `image` maps a row number to `(3, h, w)` uint8. It is called by `threads` threads, or, if 0, by the thread that
    assembles the batches.
    """

    def __init__(
        self, image: Callable[[int], NDArray[np.uint8]], count: int, device: torch.device, threads: int = 0
    ) -> None:
        self.image, self.count, self.device, self.threads = image, count, device, threads
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return self.count

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        with closing(prefetch(self._copied(batches), DEPTH)) as ready:
            for images, sizes, arrived in ready:
                if arrived is not None:
                    current = torch.cuda.current_stream(self.device)
                    current.wait_event(arrived)  # the device waits, not the host
                    images.record_stream(current)  # keeps the side stream from overwriting a batch in use
                yield images, sizes

    def _copied(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Arriving, None, None]:
        """Starts the copy of each batch to the device. Runs in the thread of `prefetch`."""
        with closing(self._read(batches)) as read:
            for images in read:
                if self.stream is None:
                    yield *padded(images), None
                    continue
                with torch.cuda.stream(self.stream):
                    host, sizes = padded(images, pinned=True)
                    # torch reuses freed pinned memory once the copy from it has ended. Since the number of batches
                    # in flight is bounded, this is a ring of buffers.
                    on_device = host.to(self.device, non_blocking=True)
                    arrived = self.stream.record_event()
                yield on_device, sizes, arrived

    def _read(self, batches: Sequence[NDArray[np.int64]]) -> Generator[list[NDArray[np.uint8]], None, None]:
        rows = (row for batch in batches for row in batch.tolist())
        images = (
            map_in_threads(self.image, rows, self.threads, DEPTH * max(map(len, batches)))
            if self.threads
            else (self.image(row) for row in rows)
        )
        with closing(images):
            for batch in batches:
                yield list(islice(images, len(batch)))


def padded(images: Sequence[NDArray[np.uint8]], pinned: bool = False) -> Images:
    """One batch on the host from images `(3, h, w)`: each in the upper left corner, padded with zeros.

    Copied by NumPy, which starts no threads (see `datasets.loading.pixels`).
    """
    sizes = torch.tensor([image.shape[1:] for image in images])
    batch = torch.empty((len(images), 3, *sizes.amax(0).tolist()), dtype=torch.uint8, pin_memory=pinned)
    for place, image in zip(batch.numpy(), images, strict=True):
        height, width = image.shape[1:]
        place[:, :height, :width] = image
        place[:, height:] = 0
        place[:, :height, width:] = 0
    return batch, sizes


def resident(store: Store, device: torch.device, on_progress: OnProgress | None = None) -> Source:
    """The whole store copied to the device."""
    return StoreSource(store.to(device, np.arange(len(store)), on_progress), device, resident=True)


def pinned(store: Store, device: torch.device) -> Source:
    """The store, prefetched."""
    return PrefetchedSource(lambda row: store.image(row).numpy(), len(store), device)


def streamed(dataset: Dataset, size: int, rule: ResizeRule, device: torch.device) -> Source:
    """The dataset decoded during use, to the same pixels as a store of this size and rule."""

    def image(row: int) -> NDArray[np.uint8]:
        return stored_image(dataset, row, size, rule)

    return PrefetchedSource(image, len(dataset), device, threads=joblib.cpu_count())


def open_source(
    dataset: Dataset,
    size: int,
    rule: ResizeRule,
    device: torch.device,
    feed_mode: FeedMode = "auto",
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    on_copied: OnProgress | None = None,
) -> Source:
    """The images of `dataset` at the size and rule of a store, on `device`; `auto` chooses the feed mode.

    All modes but `streamed` build the store if it doesn't exist: `on_progress` hears of that, and `on_copied` of the
    copy to the device. Raises what `open_store` raises.
    """
    if feed_mode == "auto":
        feed_mode = choose_feed_mode(expected_bytes(len(dataset), size, rule), device)
    if feed_mode == "streamed":
        return streamed(dataset, size, rule, device)
    store = open_store(dataset, size, rule, cache, on_progress)
    if feed_mode == "mapped":
        return StoreSource(store, device)
    return resident(store, device, on_copied) if feed_mode == "resident" else pinned(store, device)


def choose_feed_mode(needed: int, device: torch.device) -> FeedMode:
    """The fastest mode that leaves enough memory for training, if the images need `needed` bytes."""
    if device.type == "cuda" and needed <= DEVICE_SHARE * free_device_bytes(device):
        return "resident"
    if needed <= HOST_SHARE * psutil.virtual_memory().available:
        return "pinned" if device.type == "cuda" else "mapped"
    return "streamed"


def free_device_bytes(device: torch.device) -> int:
    """Free memory of the GPU, including what torch has reserved but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def expected_bytes(images: int, size: int, rule: ResizeRule) -> int:
    """Size of a store: exact for `squash`, an estimate for `short_side`."""
    return int(images * 3 * size * size * (LONGEST_ASPECT if rule == "short_side" else 1))
