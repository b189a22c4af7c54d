"""Reads what lies beside the records, once, and keeps as much of it as the page shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.record import Record
from results.store import HISTORY, PREDICTIONS, ResultsError, ResultStore

_COLUMNS = {"selection", "label", "prediction", "confidence"}
WORST = 5
"""Classes, and pairs of classes, that a summary names."""


@dataclass(frozen=True)
class Summary:
    """What a Run's last epoch answered on the test images. Classes are numbers, as in the predictions."""

    images: int
    right: int
    confidence_right: float | None
    """Mean probability of the predicted class where it is the true one; None if that never happens."""
    confidence_wrong: float | None
    lowest: list[tuple[int, int, int]]
    """Class, right ones, images; lowest accuracy first, only classes with an error."""
    confused: list[tuple[int, int, int]]
    """True class, predicted class, images; most frequent first."""


class SummarisingStore(ResultStore):
    """A store whose predictions leave a summary behind when anyone reads them, and whose histories are read once.

    A damaged file is None here, and told by `damaged`: one Run does not keep the others from being reported.
    Reading 1 000 Runs' predictions takes longer than everything else in a report, and they don't fit into memory.
    """

    def __init__(self, store: ResultStore) -> None:
        super().__init__(store.root)
        self._summaries: dict[str, Summary | None] = {}
        self._histories: dict[str, pd.DataFrame | None] = {}
        self._damaged: dict[tuple[str, str], str] = {}

    def predictions(self, run_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """As `ResultStore.predictions`, but None for a damaged file."""
        try:
            table = super().predictions(run_id, columns)
        except ResultsError as error:
            self._damaged[run_id, PREDICTIONS] = str(error)
            table = None
        if run_id not in self._summaries and set(columns or _COLUMNS) >= _COLUMNS:
            self._summaries[run_id] = None if table is None else summary(table)
        return table

    def history(self, run_id: str) -> pd.DataFrame | None:
        """As `ResultStore.history`, but None for a damaged file; not to be changed by who gets it."""
        if run_id not in self._histories:
            try:
                self._histories[run_id] = super().history(run_id)
            except ResultsError as error:
                self._damaged[run_id, HISTORY] = str(error)
                self._histories[run_id] = None
        return self._histories[run_id]

    def damaged(self, records: Iterable[Record]) -> dict[tuple[str, str], str]:
        """Run and file of theirs that can't be read -> the reason; reads what nobody has asked for yet."""
        for record in records:
            self.history(record.id)
            self.summary(record.id)
        return self._damaged

    def summary(self, run_id: str) -> Summary | None:
        """Of the Run's predictions; None if it has none of its last epoch."""
        if run_id not in self._summaries:
            self.predictions(run_id, tuple(_COLUMNS))
        return self._summaries[run_id]


def summary(predictions: pd.DataFrame) -> Summary | None:
    """A row per selection and test image -> the summary of the last epoch's, or None if there are none."""
    last = predictions[predictions["selection"] == "last"]
    if last.empty:
        return None
    labels, guesses = last["label"].to_numpy(np.int64), last["prediction"].to_numpy(np.int64)
    confidence, right = last["confidence"].to_numpy(np.float64), labels == guesses
    classes = int(max(labels.max(), guesses.max())) + 1
    images, hits = np.bincount(labels, minlength=classes), np.bincount(labels[right], minlength=classes)
    accuracy = hits / np.maximum(images, 1)
    erring = np.flatnonzero(hits < images)
    lowest = erring[np.argsort(accuracy[erring], kind="stable")][:WORST]
    pairs, counts = np.unique(labels[~right] * classes + guesses[~right], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:WORST]
    return Summary(
        images=len(last),
        right=int(right.sum()),
        confidence_right=_mean(confidence[right]),
        confidence_wrong=_mean(confidence[~right]),
        lowest=[(int(one), int(hits[one]), int(images[one])) for one in lowest],
        confused=[(int(pairs[one] // classes), int(pairs[one] % classes), int(counts[one])) for one in most],
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
