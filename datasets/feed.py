"""Batches in an order that depends on the seed and the epoch alone, so that a Run can be repeated and resumed.

Where the pixels lie is a `Source`'s business: the feed asks it for rows and knows no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.storage import Store


@dataclass(frozen=True)
class Batch:
    """Some images as they are stored, with what is known of them."""

    images: Tensor
    """(B, 3, H, W) uint8, on the device"""
    sizes: Tensor
    """(B, 2) height, width of each image within the padded H, W. On the host: crops are planned there, without sync."""
    labels: Tensor
    """(B,) int64, on the device"""
    rows: NDArray[np.int64]
    """(B,) row numbers in the dataset's table, on the host"""

    def __len__(self) -> int:
        return len(self.rows)


class Source(Protocol):
    """Hands out stored images by position within the feed's rows: `(B, 3, H, W)` uint8 on the device, sizes (B, 2)."""

    def images(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]: ...


class Mapped:
    """Images read from the memory-mapped store and copied to the device batch by batch."""

    def __init__(self, store: Store, rows: NDArray[np.int64], device: torch.device) -> None:
        self.store, self.rows, self.device = store, rows, device

    def images(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        images, sizes = self.store.images(self.rows[positions])
        return images.to(self.device, non_blocking=True), sizes


class Feed:
    """Batches of the images in `rows`.

    `labels` (N,) are those of the whole store. With `sampling` = (classes, images per class) each batch holds that
    many different classes and images of each, and an epoch is as many batches as fit into `rows`; a class with fewer
    images repeats some. Otherwise an epoch gives every row exactly once. `resident` keeps the pixels of `rows` on the
    device; on a CPU the memory map serves as that. Raises `ValueError` for numbers that don't fit each other.
    """

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        sampling: tuple[int, int] | None = None,
        resident: bool = True,
    ) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size, self.seed, self.shuffle, self.drop_last = batch_size, seed, shuffle, drop_last
        self.sampling = sampling
        self.device = torch.device(device)
        self._check(store)
        on_device = resident and self.device.type != "cpu"
        self.source: Source = store.to(self.device, self.rows) if on_device else Mapped(store, self.rows, self.device)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        if self.sampling is not None:
            return max(whole, 1)
        return whole + (rest > 0 and not self.drop_last)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from batch number `start` on: the same ones whatever was drawn before."""
        order = self.order(epoch)
        labels = torch.from_numpy(self.labels[self.rows[order]]).to(self.device)  # once an epoch
        for number in range(start, len(self)):
            stretch = slice(number * self.batch_size, (number + 1) * self.batch_size)
            images, sizes = self.source.images(order[stretch])
            yield Batch(images, sizes, labels[stretch], self.rows[order[stretch]])

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions within `rows` in the order of this epoch, cut into batches from the front."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch])))
        if self.sampling is not None:
            return _class_balanced(self.labels[self.rows], *self.sampling, len(self), generator)
        return generator.permutation(len(self.rows)) if self.shuffle else np.arange(len(self.rows))

    def _check(self, store: Store) -> None:
        if len(self.labels) != len(store):
            raise ValueError(f"{len(self.labels)} labels for a store of {len(store)} images")
        if self.batch_size < 1:
            raise ValueError(f"a batch has at least one image, not {self.batch_size}")
        if len(self.rows) == 0:
            raise ValueError("a feed needs at least one row")
        if self.sampling is None:
            return
        classes, images_per_class = self.sampling
        if classes * images_per_class != self.batch_size:
            raise ValueError(
                f"{classes} classes with {images_per_class} images each make a batch of "
                f"{classes * images_per_class}, not {self.batch_size}"
            )
        if (present := len(np.unique(self.labels[self.rows]))) < classes:
            raise ValueError(f"batches of {classes} classes can't be drawn from {present} classes")


def _class_balanced(
    labels: NDArray[np.int64], classes: int, images_per_class: int, batches: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Positions `(batches * classes * images_per_class,)`: each batch has different classes, each class goes through
    all its images in a random order before it begins anew."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    waiting = [np.empty(0, dtype=np.int64) for _ in members]
    order: list[NDArray[np.int64]] = []
    for _ in range(batches):
        for chosen in generator.choice(len(members), classes, replace=False):
            while len(waiting[chosen]) < images_per_class:
                anew = generator.permutation(members[chosen])
                late = np.isin(anew, waiting[chosen])  # what still waits comes last, so that no batch has it twice
                waiting[chosen] = np.concatenate([waiting[chosen], anew[~late], anew[late]])
            order.append(waiting[chosen][:images_per_class])
            waiting[chosen] = waiting[chosen][images_per_class:]
    return np.concatenate(order)
