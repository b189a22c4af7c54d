"""Predictions of trained Runs on the test images: read once, for every table and figure that compares images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.groups import Group
from reports.statistics import accuracy_draws

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("selection", "image", "label", "prediction", "confidence")
"""Of a table of predictions, what a report reads."""
ReadPredictions = Callable[[str], "pyarrow.Table | None"]
"""Run id -> its table of predictions, as `ResultStore.prediction_table`."""


@dataclass(frozen=True)
class Answer:
    """Predictions of one Run's last epoch, in the order of the images' names; each array `(N,)`."""

    images: NDArray[np.object_]
    """Shared by all Runs on the same images, so that `is` tells whether they are the same."""
    labels: NDArray[np.int32]
    predictions: NDArray[np.int32]
    confidence: NDArray[np.float32]

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label."""
        return self.labels == self.predictions


class Predictions:
    """Predictions of one experiment's seeds."""

    def __init__(self, by_seed: Mapping[int, Answer]) -> None:
        self.by_seed = by_seed
        self._draws: dict[tuple[int, ...], NDArray[np.float32]] = {}

    @property
    def seeds(self) -> list[int]:
        """In ascending order."""
        return sorted(self.by_seed)

    @property
    def images(self) -> NDArray[np.object_] | None:
        """The images that all seeds predicted; None if there are no seeds, or their images differ."""
        first = next(iter(self.by_seed.values()), None)
        same = first is not None and all(answer.images is first.images for answer in self.by_seed.values())
        return first.images if first is not None and same else None

    def right(self, seeds: Sequence[int]) -> NDArray[np.bool_]:
        """`(N images, S seeds)`; the seeds must have the same images."""
        return np.column_stack([self.by_seed[seed].right for seed in seeds])

    def draws(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """The seeds' accuracies on bootstrap draws of their images, `(DRAWS, S)`."""
        known = tuple(seeds)
        if known not in self._draws:
            self._draws[known] = accuracy_draws(self.right(seeds))
        return self._draws[known]


class PredictionCache:
    """The answers of Runs, by way of `predictions`; a Run's file is read when it is first asked for."""

    def __init__(self, predictions: ReadPredictions) -> None:
        self._predictions = predictions
        self._known: dict[str, Answer | None] = {}
        self._groups: dict[tuple[str, ...], Predictions] = {}
        self._images: dict[str, tuple[NDArray[np.intp], NDArray[np.object_]]] = {}
        """Images as a file has them, joined -> their order by name, and they in it."""
        self._labels: dict[bytes, NDArray[np.int32]] = {}

    def of(self, group: Group) -> Predictions:
        """The stored ones of the group's finished Runs."""
        ids = tuple(record.id for record in group.done)
        if ids not in self._groups:
            found = {record.run.replicate: self.of_run(record.id) for record in group.done}
            self._groups[ids] = Predictions({seed: answer for seed, answer in found.items() if answer is not None})
        return self._groups[ids]

    def of_run(self, run_id: str) -> Answer | None:
        """That of one Run; None if no predictions of its last epoch are stored."""
        if run_id not in self._known:
            table = self._predictions(run_id)
            self._known[run_id] = None if table is None else self._answer(table)
        return self._known[run_id]

    def _answer(self, table: pyarrow.Table) -> Answer | None:
        from pyarrow import compute

        last = table.filter(compute.equal(table["selection"], "last"))
        if not len(last):
            return None
        order, images = self._in_order(last["image"].to_pylist())
        labels, predictions = (last[name].to_numpy().astype(np.int32)[order] for name in ("label", "prediction"))
        shared = self._labels.setdefault(labels.tobytes(), labels)
        return Answer(images, shared, predictions, last["confidence"].to_numpy().astype(np.float32)[order])

    def _in_order(self, names: list[str]) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
        """The places of the images in the order of their names, and the images in that order."""
        joined = "\0".join(names)
        if joined not in self._images:
            images = np.array(names, object)
            order = np.argsort(images, kind="stable")
            known = self._images.setdefault("\0".join(images[order]), (np.arange(len(images)), images[order]))
            self._images[joined] = order, known[1]  # other orders share the images
        return self._images[joined]


NOTHING_STORED = PredictionCache(lambda run_id: None)
"""For tables of records alone."""
