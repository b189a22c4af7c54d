"""Which figures a set of records asks for: each is prepared here as plain data, and drawn elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports import cell_format
from reports.comparisons import arenas, contestants
from reports.contents import Table
from reports.figures.ablation import gain_bars
from reports.figures.calibration import Sure, reliability
from reports.figures.confused import PAIRS, PICTURED, Confusion, most_confused
from reports.figures.curves import training_curves
from reports.figures.per_class import per_class_difference
from reports.figures.style import CURVES
from reports.figures.throughput import accuracy_against_throughput
from reports.groups import Group, groups, labels
from reports.predictions import PredictionCache, Predictions
from reports.tables.head_to_head import whole_methods
from results.record import Record

BASELINE = "plain"
"""The method that the others are held against, where it is among them."""
History = Callable[[str], pd.DataFrame | None]
"""Run id -> a row per epoch, as `ResultStore.history`."""
ImageOf = Callable[[Record, str], NDArray[np.uint8] | None]
"""A Run and the path of one of its test images -> its pixels `(H, W, 3)`, or None where it is not to be had."""


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn: `draw(*arguments, title)`, which gives None if there is nothing to see."""

    kind: str
    heading: str
    """What is compared."""
    draw: Callable[..., Figure | None]
    arguments: tuple[Any, ...]

    @property
    def title(self) -> str:
        """Kind and heading."""
        return f"{KINDS[self.kind]}: {self.heading}"


KINDS = {
    "throughput": "Accuracy against throughput",
    "curves": "Training curves",
    "calibration": "Calibration",
    "per_class": "Accuracy by class",
    "confused": "Most confused classes",
    "ablation": "Ablation",
    "batch_sweep": "Rate over batch size",
    "roofline": "Roofline",
    "memory": "Memory of a training step",
}
"""Kind -> what its figures show."""


def drawings(
    records: Sequence[Record],
    tables: Mapping[str, Table],
    answers: PredictionCache,
    history: History,
    image_of: ImageOf | None,
) -> Iterator[Drawing]:
    """Every figure of a report but those of profile Runs."""
    order = method_order(records)
    yield from _throughput(tables["head_to_head"], order)
    yield from _gains(tables["ablation"], tables["steps"])
    for arena, members in arenas(groups(records)).items():
        done = [group for group in members if group.done]
        every = labels(pd.DataFrame([group.names for group in done]))  # of a part alone they would be too short
        parts = range(0, len(done), CURVES)
        for number, start in enumerate(parts, 1):
            some, names = done[start : start + CURVES], every[start : start + CURVES]
            heading = f"{arena}" + (f" ({number} of {len(parts)})" if len(parts) > 1 else "")
            methods = [str(group.names["method"]) for group in some]
            keys = methods if len(set(methods)) == len(methods) else names
            yield Drawing("curves", heading, training_curves, (_curves(some, names, history), keys, order))
            yield Drawing("calibration", heading, reliability, (*_confidences(some, names, keys, answers), order))
        whole = [group for group in contestants(members) if group.done]
        yield from _classes(str(arena), whole, answers, image_of)


def method_order(records: Sequence[Record]) -> list[str]:
    """The methods as their looks are dealt out: the baseline first, the others by their alphabet."""
    methods = {str(record.run.get("method")) for record in records}
    return sorted(methods, key=lambda method: (method != BASELINE, method))


def _throughput(head: Table, order: Sequence[str]) -> Iterator[Drawing]:
    """Of whole methods; like the curves, a figure for each number of epochs where all methods share one."""
    if head.frame.empty:
        return
    budget = head.frame["epochs"].where(head.frame["protocol"] == "common")
    for (dataset, protocol, epochs), rows in head.frame.groupby(["dataset", "protocol", budget], dropna=False):
        heading = f"{dataset}, {protocol} recipe" + ("" if cell_format.absent(epochs) else f", epochs: {epochs:g}")
        yield Drawing("throughput", heading, accuracy_against_throughput, (whole_methods(rows), order))


def _gains(ablation: Table, steps: Table) -> Iterator[Drawing]:
    for table, axis in ((ablation, "minus the whole method, points of top-1"), (steps, "gain, points of top-1")):
        if table.frame.empty:
            continue
        for (method, arena), rows in table.frame.groupby(["method", "arena"], sort=False):
            heading = f"{method}, {arena}"
            if rows["difference"].notna().sum() < 2:
                continue  # one bar says no more than its row in the table
            found = rows.to_dict("records")
            names = [_step(row) if table is steps else str(row["variant"]) for row in found]
            yield Drawing(
                "ablation", heading + (", step by step" if table is steps else ""), gain_bars, (found, names, axis)
            )


def _step(row: Mapping[Any, Any]) -> str:
    """The two variants, and below them what sets them apart."""
    return f"{row['from']} → {row['to']}\n{row['option']}: {row['before']} → {row['after']}"


def _curves(some: Sequence[Group], names: Sequence[str], history: History) -> list[tuple[str, list[pd.DataFrame]]]:
    return [
        (name, [table for record in group.done if (table := history(record.id)) is not None])
        for group, name in zip(some, names, strict=True)
    ]


def _confidences(
    some: Sequence[Group], names: Sequence[str], keys: Sequence[str], answers: PredictionCache
) -> tuple[list[Sure], list[str]]:
    """What is known of how sure each method was, and the keys of those."""
    seeds = [[(run.confidence, run.right) for run in answers.of(group).by_seed.values()] for group in some]
    known = [(name, one, key) for name, one, key in zip(names, seeds, keys, strict=True) if one]
    return [(name, one) for name, one, _ in known], [key for *_, key in known]


def _classes(
    heading: str, done: Sequence[Group], answers: PredictionCache, image_of: ImageOf | None
) -> Iterator[Drawing]:
    """Of the most accurate method the classes it confuses, and how it compares to the baseline class by class.

    `done` are whole methods: the best of all variants would be one that the test set chose. Where there is no baseline,
    or it is the most accurate, the next is compared.
    """
    answered = [(group, found) for group in done if (found := answers.of(group)).images is not None]
    if not answered:
        return
    accuracy = {id(group): found.right(found.seeds).mean() for group, found in answered}
    answered.sort(key=lambda pair: -accuracy[id(pair[0])])
    names = dict(zip(map(id, done), labels(pd.DataFrame([group.names for group in done])), strict=True))
    best, found = answered[0]
    confusions = _confusions(best, found, image_of)
    yield Drawing("confused", f"{names[id(best)]}, {heading}", most_confused, (confusions,))
    others = [pair for pair in answered[1:] if pair[1].images is found.images and set(pair[1].seeds) & set(found.seeds)]
    # The sort is stable and the baseline comes first of the others, so it is taken where there is one.
    others.sort(key=lambda pair: pair[0].names["method"] != BASELINE)
    if others:
        second, other = others[0]
        seeds = sorted(set(found.seeds) & set(other.seeds))
        difference = found.right(seeds).mean(axis=1) - other.right(seeds).mean(axis=1)
        truth = found.by_seed[seeds[0]].labels
        methods = (names[id(best)], names[id(second)])
        yield Drawing("per_class", heading, per_class_difference, (difference, truth, _class_names(best), methods))


def _class_names(group: Group) -> list[str]:
    return next((list(names) for record in group.done if (names := record.split.get("class_names"))), [])


def _confusions(group: Group, answered: Predictions, image_of: ImageOf | None) -> list[Confusion]:
    """The pairs with the largest share of a class's images, over all seeds; ties by the classes' order."""
    runs = [answered.by_seed[seed] for seed in answered.seeds]
    truth = np.concatenate([run.labels for run in runs])
    guess = np.concatenate([run.predictions for run in runs])
    images = np.bincount(truth)
    wrong = truth != guess
    pairs, counts = np.unique(np.stack([truth[wrong], guess[wrong]], axis=1), axis=0, return_counts=True)
    shares = counts / images[pairs[:, 0]] if len(pairs) else counts
    names = _class_names(group)
    found = []
    for place in np.lexsort((-counts, -shares))[: PAIRS if image_of is None else PICTURED]:
        label, prediction = map(int, pairs[place])
        pictures = _pictures(group, answered, label, prediction, image_of) if image_of else (None, None)
        found.append(
            Confusion(
                _class_name(names, label),
                _class_name(names, prediction),
                float(shares[place]),
                counts[place] / len(runs),
                int(images[label] // len(runs)),
                *pictures,
            )
        )
    return found


def _class_name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f"class {label}"


def _pictures(
    group: Group, answered: Predictions, label: int, prediction: int, image_of: ImageOf
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """The most confident of the mistakes, and a right image of the other class that is most surely told."""
    seed = answered.seeds[0]
    run = answered.by_seed[seed]
    record = next(one for one in group.done if int(one.run.get("seed", 0)) == seed)

    def surest(chosen: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
        places = np.flatnonzero(chosen)
        if not len(places):
            return None
        return image_of(record, str(run.images[places[np.argmax(run.confidence[places])]]))

    return (
        surest((run.labels == label) & (run.predictions == prediction)),
        surest((run.labels == prediction) & run.right),
    )
