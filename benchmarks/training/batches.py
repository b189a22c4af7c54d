"""A Run's batches for training and evaluation; of several processes, each gets its share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.errors import UserError
from benchmarks.training.device import allocated
from benchmarks.training.distributed import Processes
from datasets.interface import Dataset
from datasets.loading import augment
from datasets.loading.feed import Feed
from datasets.loading.mixup import mix
from datasets.loading.sampling import batch_generator, drops_last
from datasets.loading.sources import Source, open_source
from methods.interface import Sampling
from results.settings import Run


class TrainingBatch(NamedTuple):
    """This process's share of a batch, augmented."""

    number: int
    images: Tensor
    labels: Tensor
    total: int
    """Images of the batch in all processes."""

    @property
    def share(self) -> float:
        """The part of the batch that this process has."""
        return len(self.images) / self.total


class Batches:
    """The splits of a dataset."""

    def __init__(self, run: Run, dataset: Dataset, processes: Processes, compile: bool = False) -> None:
        """`compile`: whether a GPU augments with compiled code."""
        self.run, self.recipe, self.dataset, self.processes = run, run.recipe, dataset, processes
        self.rows = dataset.split(run.recipe.validation)
        if not len(self.rows["test"]):
            raise UserError(f"{run.dataset} has no test image; nothing could be evaluated")
        self.compile = compile
        self.source: Source | None = None
        """Where the images are, once `open` was called."""
        self.store_bytes = 0
        """Bytes that the images take of this process's memory on the device."""

    def open(self, opened: Callable[[], Source]) -> None:
        """Opens the images. Call it once the network is built: the memory that is left decides where they are kept."""
        before = allocated(self.processes.device)
        self.source = opened()
        self.store_bytes = allocated(self.processes.device) - before

    @property
    def resident_bytes(self) -> int:
        """Bytes of the images that are kept on the device."""
        return self._source.resident_bytes

    def leave_device(self) -> bool:
        """Leaves the device's memory to the training: from now on each batch is brought there from the host.

        Returns whether there was something to leave.
        """
        if not self.resident_bytes:
            return False
        self._source.give_up()
        self.source = None  # frees the images before anything else is allocated
        recipe, device = self.recipe, self.processes.device
        self.open(lambda: open_source(self.dataset, recipe.stored_size, recipe.resize, device, "pinned"))
        return True

    def close(self) -> None:
        """Lets go of the images."""
        if self.source is not None:
            self.source.close()
            self.source = None

    def training_feed(self, batch_size: int, sampling: Sampling) -> Feed:
        """Training batches before augmentation, sampled as the method requires."""
        rows, world = self.rows["train"], self.processes.world
        return Feed(
            self._source,
            rows,
            self.dataset.labels,
            batch_size,
            seed=self.run.seed,
            drop_last=drops_last(len(rows), batch_size, world, sampling.together, sampling.drop_last),
            sampling=sampling.groups(batch_size),
            part=(self.processes.rank, world),
            together=sampling.together,
        )

    def training(
        self, feed: Feed, epoch: int, start: int = 0, stop: int | None = None
    ) -> Generator[TrainingBatch, None, None]:
        """An epoch's batches from number `start` on, up to `stop`, augmented; their random draws depend on seed, epoch
        and number."""
        settings, size = self.recipe.augment, self.recipe.image_size
        for number, batch in enumerate(feed.batches(epoch, start, stop), start):
            total = feed.total(number)
            draws = batch_generator(self.run.seed, epoch, number)
            place = feed.own(number).start, total
            images = augment.train_batch(batch, settings, size, draws, *place, self.run.scaling, self.compile)
            classes = len(self.dataset.classes)
            images, labels = mix(images, batch.labels, classes, settings.mixing, epoch, draws)
            yield TrainingBatch(number, images.contiguous(memory_format=torch.channels_last), labels, total)

    def evaluation_feed(self, split: str, batch_size: int, rows: slice | None = None) -> Feed:
        """The images of a split in order, or those of `rows`."""
        chosen = self.rows[split] if rows is None else self.rows[split][rows]
        return Feed(self._source, chosen, self.dataset.labels, batch_size, shuffle=False)

    def unaugmented(self, batch_size: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        """All training images and labels, unaugmented, for what a method fits before or after its epochs."""
        for batch in self.evaluation_feed("train", batch_size).batches(epoch=0):
            images = augment.test_batch(batch, self.recipe.image_size, self.run.scaling)
            yield images.contiguous(memory_format=torch.channels_last), batch.labels

    def labels(self, split: str) -> Tensor:
        """Labels `(N,)` of a whole split, on the host."""
        return torch.from_numpy(self.dataset.labels[self.rows[split]])

    @property
    def _source(self) -> Source:
        assert self.source is not None, "call Batches.open first"
        return self.source
