"""Whether a Run's history and predictions agree with its record, for those that no checksum vouches for."""

from __future__ import annotations

import pandas as pd

from results.record import Record
from results.settings import Run

ROUNDING = 1e-6
"""Of accuracies, which are means of up to some 100 000 zeros and ones in float32."""


def history_fault(record: Record, history: pd.DataFrame | None) -> str | None:
    """How the rows of a training's history differ from what its record says, in words; None if they don't."""
    last = record.metrics.get("last")
    if not isinstance(record.run, Run) or last is None:
        return None
    if history is None:
        return "is missing"
    if list(history["epoch"]) != list(range(1, last.epoch + 1)):
        return f"has {len(history)} epochs, its record {last.epoch}"
    every = record.run.recipe.evaluate_every
    evaluated = history[(history["epoch"] % every == 0) | (history["epoch"] == last.epoch)]
    accuracies = dict(zip(evaluated["epoch"], evaluated["test_top1"], strict=True))
    if evaluated["test_top1"].isna().any():
        return "lacks the accuracy of an epoch that was evaluated"
    for found in record.metrics.values():
        if found.epoch not in accuracies or abs(accuracies[found.epoch] - found.top1) > ROUNDING:
            return f"has another accuracy in epoch {found.epoch} than its record"
    return None


def predictions_fault(record: Record, predictions: pd.DataFrame | None) -> str | None:
    """The same of a training's predictions: columns `selection`, `label` and `prediction`."""
    if not isinstance(record.run, Run) or not record.metrics:
        return None
    if predictions is None:
        return "is missing"
    by_selection = dict(tuple(predictions.groupby("selection")))
    images = record.split.get("test")
    for name, found in record.metrics.items():
        rows = by_selection.get(name, predictions[:0])
        if len(rows) != images:
            return f"has {len(rows)} test images of {name}, its record {images}"
        if abs((rows["label"] == rows["prediction"]).mean() - found.top1) > ROUNDING:
            return f"gives another accuracy of {name} than its record"
    return None
