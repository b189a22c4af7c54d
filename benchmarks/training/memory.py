"""What a training gives up where a GPU's memory is too small: first what costs speed, and only then its batches."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from benchmarks.errors import UserError
from benchmarks.training.batches import Batches
from benchmarks.training.device import OutOfMemoryWithoutGradients
from benchmarks.training.engine import TOO_LARGE, Engine

T = TypeVar("T")


class Room:
    """Makes room on the GPU after a lack of memory, in an order that changes results as late as possible.

    In training, the images leave the GPU first: that costs speed alone. Then the batch is cut, which changes what batch
    norm sees. Where nothing learns, fewer images are computed at a time, which changes nothing.
    """

    def __init__(self, engine: Engine, batches: Batches, note: Callable[[str], None]) -> None:
        self.engine, self.batches, self.note = engine, batches, note

    def for_training(self, batch_size: int) -> None:
        """After a lack of memory in training. `batch_size`: images of the largest batch of the training.

        The method is built anew: the step that failed may have changed it. Raises `UserError` if nothing is left to
        give up.
        """
        if not self._move_images():
            self.note(self.engine.halve_micro_batch(batch_size))
        self._begin_again()

    def for_method(self, trained: bool) -> None:
        """After a lack of memory in `Method.initialise`, `Method.finish` or an evaluation of single images, which are
        to begin again with a method that is built anew.

        `trained`: whether all epochs are over; then there is no training left that the images on the GPU would speed
        up, and they leave first. Raises `UserError` if nothing is left to give up.
        """
        if trained and self._move_images():
            pass
        elif self.engine.evaluation_batch > 1:
            self.note(self.engine.halve_evaluation_batch())
        elif not self._move_images():
            raise UserError(TOO_LARGE)
        self._begin_again()

    def repeated(self, work: Callable[[], T]) -> T:
        """What an evaluation returns. After a lack of memory it alone is repeated, with fewer images at a time.

        Raises what it raises if that does not help, or if other processes wait for this one.
        """
        while True:
            try:
                return work()
            except OutOfMemoryWithoutGradients:
                if self.engine.processes.world > 1 or self.engine.evaluation_batch == 1:
                    raise
            self.note(self.engine.halve_evaluation_batch())
            torch.cuda.empty_cache()

    def _move_images(self) -> bool:
        """Whether there were images on the GPU, which are now read from the host."""
        moved = self.batches.leave_device()
        if moved:
            self.note("out of memory with the images on the GPU; continues with images from the host")
        return moved

    def _begin_again(self) -> None:
        self.engine.build()
        gc.collect()  # the previous method and its compiled functions refer to each other
        torch.cuda.empty_cache()
