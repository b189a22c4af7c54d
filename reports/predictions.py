"""Predictions of trained Runs on the test images: read once, for every table and figure that compares images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.groups import Group
from reports.statistics import accuracy_draws

COLUMNS = ("selection", "image", "label", "prediction", "confidence")
"""Of a table of predictions, what a report reads."""
ReadPredictions = Callable[[str], pd.DataFrame | None]
"""Run id -> its table of predictions, as `ResultStore.predictions`."""


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
        self._images: dict[str, NDArray[np.object_]] = {}

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

    def _answer(self, table: pd.DataFrame) -> Answer | None:
        last = np.flatnonzero(table["selection"].to_numpy(object) == "last")
        if not len(last):
            return None
        images = table["image"].to_numpy(object)
        order = last[np.argsort(images[last], kind="stable")]
        images = images[order]
        shared = self._images.setdefault("\0".join(images), images)
        labels, predictions = (table[name].to_numpy(np.int32)[order] for name in ("label", "prediction"))
        return Answer(shared, labels, predictions, table["confidence"].to_numpy(np.float32)[order])


def confused(labels: NDArray[np.integer], guesses: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of a label and another predicted class that occur, `(P, 2)`, and how often each does, `(P,)`."""
    wrong = labels != guesses
    return np.unique(np.stack([labels[wrong], guesses[wrong]], axis=1), axis=0, return_counts=True)


def class_name(class_names: Sequence[str], label: int) -> str:
    """The name of a class, or its number if it has none."""
    return class_names[label] if label < len(class_names) else f"class {label}"


NOTHING_STORED = PredictionCache(lambda run_id: None)
"""For tables of records alone."""
