"""Endless batches of real images on the device, as in training and evaluation."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from datasets.interface import Dataset
from datasets.loading import augment
from datasets.loading.feed import Feed
from datasets.loading.sampling import batch_generator
from datasets.loading.sources import open_source
from methods.interface import Sampling
from results.settings import Input
from results.speed import Mode


class InputPipeline:
    """Batches of a dataset's training images; a dataset of less than four batches is repeated."""

    def __init__(
        self,
        dataset: Dataset,
        settings: Input,
        image_size: int,
        batch_size: int,
        sampling: Sampling,
        device: torch.device,
        compile: bool = False,
    ) -> None:
        """`compile`: whether a GPU augments with compiled code, as a compiled training does."""
        self.compile = compile
        self.settings, self.image_size = settings, image_size
        rows = dataset.split(0.0)["train"]
        self.rows = np.resize(rows, max(len(rows), 4 * batch_size))
        self.source = open_source(dataset, settings.stored_size, settings.resize, device, settings.feed)
        self.labels, self.batch_size = dataset.labels, batch_size
        groups = sampling.groups(batch_size)
        self.sampling = groups if groups and groups[0] * groups[1] == batch_size else None

    def batches(self, mode: Mode) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Images `(B, 3, H, W)` float32 on the device with labels `(B,)`: augmented for training, else centre crops."""
        train = mode == "train"
        feed = Feed(
            self.source,
            self.rows,
            self.labels,
            self.batch_size,
            shuffle=train,
            drop_last=True,
            sampling=self.sampling if train else None,
        )
        epoch = 0
        while True:
            for number, batch in enumerate(feed.batches(epoch)):
                if train:
                    draws = batch_generator(0, epoch, number)
                    images = augment.train_batch(
                        batch, self.settings.augment, self.image_size, draws, compile=self.compile
                    )
                else:
                    images = augment.test_batch(batch, self.image_size)
                yield images.contiguous(memory_format=torch.channels_last), batch.labels
            epoch += 1
