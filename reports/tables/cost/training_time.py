"""How accurate a training is after how many hours of its device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.groups import Group, hardware_name
from reports.tables.accuracies import HEADLINE
from results.record import Record
from results.stored_tables import Columns

History = Callable[[str], Columns | None]
"""Run id -> its table of epochs, as `ResultStore.history_columns`."""
HOUR = 3600.0
"""Seconds."""


@dataclass(frozen=True)
class Course:
    """A training's evaluated epochs, over seeds, each array `(E,)`; one epoch where no course is stored."""

    hours: NDArray[np.float64]
    """Of the device until the end of each epoch, mean over seeds."""
    top1: NDArray[np.float64]
    """On the test images, in percent, mean over seeds."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Of the lowest and the highest seed."""


def device_hours(record: Record) -> float | None:
    """Hours of a training's steps, times the processes that shared them, each of which had a device to itself."""
    seconds = record.training.get("seconds")
    return None if seconds is None else seconds * record.training.get("processes", 1) / HOUR


def unit(record: Record) -> str:
    """What hours of its device are called: `GPU-hours on NVIDIA H200`."""
    kind = "CPU hours" if record.hardware.get("device") == "cpu" else "GPU-hours"
    return f"{kind} on {hardware_name(record) or 'an unknown device'}"


def on_one_device(groups: Sequence[Group]) -> tuple[str, dict[Group, list[Record]]]:
    """What hours of the device are called on which most trainings ran, and the finished ones there by experiment; those
    that have none there are left out."""
    units = {record.id: unit(record) for group in groups for record in group.done}
    counts = Counter(units.values())
    most = min(counts, key=lambda name: (-counts[name], name), default="")
    there = {group: [record for record in group.done if units[record.id] == most] for group in groups}
    return most, {group: records for group, records in there.items() if records}


def course(records: Sequence[Record], history: History) -> Course | None:
    """Of the seeds of one experiment, at the epochs that all of them evaluated; None without such an epoch."""
    seeds = [dict(_evaluated(record, history(record.id))) for record in records]
    epochs = sorted(set.intersection(*map(set, seeds))) if seeds else []
    if not epochs:
        return None
    points = np.array([[seed[epoch] for epoch in epochs] for seed in seeds])  # (S, E, 2)
    hours, top1 = points[..., 0], points[..., 1]
    return Course(hours.mean(axis=0), top1.mean(axis=0), top1.min(axis=0), top1.max(axis=0))


def _evaluated(record: Record, table: Columns | None) -> Iterator[tuple[int, tuple[float, float]]]:
    """Each evaluated epoch, with the hours until its end and the accuracy; the last one where no history is stored."""
    last, whole = record.metrics.get(HEADLINE), device_hours(record)
    if table is not None and "seconds" in table:
        hours = np.cumsum(table["seconds"]) * record.training.get("processes", 1) / HOUR
        known = ~(np.isnan(table["test_top1"]) | np.isnan(hours))
        rows = zip(table["epoch"][known], hours[known], 100 * table["test_top1"][known], strict=True)
        yield from ((int(epoch), (float(spent), float(top1))) for epoch, spent, top1 in rows)
    elif last is not None and whole is not None:
        yield last.epoch, (whole, 100 * last.top1)
