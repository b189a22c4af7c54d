"""Scores the weights of a training on validation slice and test set; keeps the logits of each selection's best."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from torch import Tensor

from benchmarks.training.batches import Batches
from benchmarks.training.checkpoints.state import TrainingState
from benchmarks.training.engine import Engine
from benchmarks.training.evaluate import Choice, choose, metrics
from benchmarks.training.listener import Listener
from benchmarks.training.losses import Diverged
from benchmarks.training.memory import Room
from results.record import ReadOut


class Scorer:
    """Evaluates the engine's method. Its time is counted in `TrainingState.evaluation_seconds`."""

    def __init__(self, engine: Engine, batches: Batches, room: Room, listener: Listener) -> None:
        self.engine, self.batches, self.room, self.listener = engine, batches, room, listener

    def epoch(self, state: TrainingState) -> dict[str, float]:
        """Scores the weights at the end of the current epoch; returns the accuracies for its row of the history."""
        splits = [split for split in ("test", "validation") if len(self.batches.rows[split])]
        labels = {split: self.batches.labels(split) for split in splits}
        with _timed(state):
            logits = {split: self._logits(split) for split in splits}
        return choose(state.chosen, state.epoch + 1, logits, labels)

    def finished(self, state: TrainingState) -> None:
        """Scores a method that changed itself after the last epoch. No earlier epoch was evaluated with that change, so
        the last epoch is the only choice."""
        with _timed(state):
            state.chosen = {"last": Choice(state.epoch, self._logits("test"), (state.epoch,))}

    def beside_forward(self, state: TrainingState) -> tuple[dict[str, float], dict[str, ReadOut]]:
        """On the test images, by the last weights: top-1 of each of the method's branches, and what each of its
        read-outs reaches."""
        with _timed(state):
            branches, readouts = self.room.repeated(lambda: self.engine.beside_forward(self.batches, "test"))
        labels, views = self.batches.labels("test"), self.engine.method.readout_views
        return branches, {
            name: ReadOut(
                views=views[name],
                **dict(metrics(_finite(logits, f"read-out {name!r} of the test images"), labels, state.epoch)),
            )
            for name, logits in readouts.items()
        }

    def _logits(self, split: str) -> Tensor:
        """Logits of a split."""
        return _finite(
            self.room.repeated(lambda: self.engine.logits_of_split(self.batches, split, self.listener)),
            f"the {split} images",
        )


def _finite(logits: Tensor, of: str) -> Tensor:
    """The logits. Raises `Diverged` if one is not finite: the last step may have spoilt the weights."""
    if not logits.isfinite().all():
        raise Diverged(f"the logits of {of} are not all numbers")
    return logits


@contextlib.contextmanager
def _timed(state: TrainingState) -> Iterator[None]:
    began = time.monotonic()
    yield
    state.evaluation_seconds += time.monotonic() - began
