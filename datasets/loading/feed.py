"""Batches of a split, epoch by epoch: images of a source with their labels, in an order determined by the seed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.loading.sampling import Part, batches_in_epoch, check_batches, epoch_order, share
from datasets.loading.sources import Source


@dataclass(frozen=True)
class Batch:
    """Images as stored, before augmentation, with sizes, labels and row numbers."""

    images: Tensor
    """(B, 3, H, W) uint8, on the device"""
    sizes: Tensor
    """(B, 2) height, width of each image within the padded H, W; on the host, where crops are drawn without a sync."""
    labels: Tensor
    """(B,) int64, on the device"""
    rows: NDArray[np.int64]
    """(B,) row numbers in the dataset's table, on the host"""

    def __len__(self) -> int:
        return len(self.rows)


class Feed:
    """Batches of the images in `rows`; `labels` (N,) are the labels of all N images of the source.

    With `sampling` = (classes, images per class) each batch has that many distinct classes and images of each, and an
    epoch has as many batches as fit into `rows`, at least one (`MPerClassSampler` takes the number of images of an
    epoch as an argument, 100 000 by default); a class with too few images repeats some. Otherwise an epoch contains
    every row exactly once, but for what is left over of a last batch that is no multiple of `together`.

    With `part` = (rank, world size) each batch of `batch_size` images is divided among the processes; their parts in
    order are the batch of a single process, and none of them parts `together` images. A rank may get no part of a small
    last batch; a shuffled feed raises `ValueError` in that case. Raises `ValueError` for inconsistent numbers.
    """

    def __init__(
        self,
        source: Source,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        sampling: tuple[int, int] | None = None,
        part: Part = (0, 1),
        together: int = 1,
    ) -> None:
        self.source = source
        self.rows = np.asarray(rows, dtype=np.int64)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size, self.seed, self.shuffle, self.drop_last = batch_size, seed, shuffle, drop_last
        self.sampling, self.part, self.together = sampling, part, together
        self._check()

    @property
    def device(self) -> torch.device:
        """The device of images and labels."""
        return self.source.device

    def __len__(self) -> int:
        """Batches in an epoch, over all processes."""
        return batches_in_epoch(
            len(self.rows),
            self.batch_size,
            balanced=self.sampling is not None,
            drop_last=self.drop_last,
            together=self.together,
        )

    def total(self, number: int) -> int:
        """Images of batch `number` of an epoch, in all processes."""
        if self.sampling is not None:
            return self.batch_size
        left = min(len(self.rows) - number * self.batch_size, self.batch_size)
        return left // self.together * self.together

    def own(self, number: int) -> slice:
        """The part of that batch that this process takes."""
        return share(self.total(number), self.part, self.together)

    def batches(self, epoch: int, start: int = 0, stop: int | None = None) -> Generator[Batch, None, None]:
        """The batches of one epoch from batch number `start` on, up to `stop`, independent of earlier calls.

        Closing or dropping the generator stops its prefetching. Raises `DatasetError` for an image that can't be read.
        """
        order = self.rows[self.order(epoch)]
        parts = [
            (number * self.batch_size, self.own(number)) for number in range(start, len(self) if stop is None else stop)
        ]
        batches = [order[first + own.start : first + own.stop] for first, own in parts if own.stop > own.start]
        if not batches:
            return
        labels = torch.from_numpy(self.labels[np.concatenate(batches)]).to(self.device)  # once an epoch
        labels_of = labels.split([len(rows) for rows in batches])
        with closing(self.source.batches(batches)) as read:
            for (images, sizes), of_batch, rows in zip(read, labels_of, batches, strict=True):
                yield Batch(images, sizes, of_batch, rows)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions within `rows` in the order of this epoch; batches are taken from the front."""
        labels = self.labels[self.rows]
        return epoch_order(labels, len(self), seed=self.seed, epoch=epoch, shuffle=self.shuffle, sampling=self.sampling)

    def _check(self) -> None:
        if len(self.labels) != len(self.source):
            raise ValueError(f"{len(self.labels)} labels for a source of {len(self.source)} images")
        rank, world = self.part
        if not 0 <= rank < world:
            raise ValueError(f"ranks of {world} processes are 0 .. {world - 1}, not {rank}")
        last = len(self.rows) % self.batch_size if self.batch_size else 0
        check_batches(self.labels[self.rows], self.batch_size, self.sampling, world, self.together)
        if self.shuffle and self.sampling is None and not self.drop_last and 0 < last // self.together < world:
            raise ValueError(f"the last batch of {last} images can't be divided among {world} processes; use drop_last")
