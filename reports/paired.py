"""Is one method better than another, on the same images and the same seeds?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import columns
from reports.groups import Group, arenas, groups, labels
from reports.statistics import difference_interval, holm, mcnemar, pooled_p
from reports.tables import Table
from results.record import Record

LEVEL = 0.05
Predictions = Callable[[str], pd.DataFrame | None]
"""Run id -> its table of predictions, as `ResultStore.predictions`."""
Answers = dict[int, pd.Series]
"""Seed -> whether the last epoch's model is right, by image and in the images' order."""


class NotComparableError(Exception):
    """Why a pair has no test."""


def paired(records: Iterable[Record], predictions: Predictions) -> Table:
    """One row per pair of experiments that share dataset, split, backbone, pretraining, input size and protocol."""
    rows: list[dict[str, Any]] = []
    for arena, members in arenas(groups(records)).items():
        if len(members) == 1:
            continue
        answers = [_answers(group, predictions) for group in members]
        names = labels(pd.DataFrame([group.names for group in members]))
        for first, second in combinations(range(len(members)), 2):
            pair = {"dataset": arena.dataset, "protocol": arena.protocol, "backbone": arena.backbone}
            pair |= {"first": names[first], "second": names[second]}
            rows.append(pair | _compared(answers[first], answers[second]))
    return Table("paired", "Paired comparison", _corrected(rows), columns.PAIRED_COLUMNS, columns.PAIRED_NOTE)


def _answers(group: Group, predictions: Predictions) -> Answers:
    answers = {}
    for record in group.done:
        table = predictions(record.id)
        if table is not None:
            last = table[table["selection"] == "last"].set_index("image").sort_index()
            answers[int(record.run.get("seed", 0))] = last["prediction"] == last["label"]
    return {seed: right for seed, right in answers.items() if len(right)}


def _compared(first: Answers, second: Answers) -> dict[str, Any]:
    try:
        rights = _aligned(first, second)
    except NotComparableError as reason:
        return {"seeds": 0, "reason": str(reason)}
    p_values = [mcnemar(one, other) for one, other in rights]
    differences = np.stack([one.astype(np.int8) - other.astype(np.int8) for one, other in rights], axis=1)
    low, high = difference_interval(differences)
    return {
        "seeds": len(rights),
        "images": len(differences),
        "difference": 100 * float(differences.mean()),
        "difference_low": 100 * low,
        "difference_high": 100 * high,
        "p_per_seed": ", ".join(f"{p:.2g}" for p in p_values),
        "p": pooled_p(p_values),
        "reason": None,
    }


def _aligned(first: Answers, second: Answers) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Per common seed who is right, image by image in one order. Raises `NotComparableError`."""
    if not first or not second:
        raise NotComparableError("no stored predictions of a finished Run")
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise NotComparableError("no seed in common")
    order = first[seeds[0]].index
    aligned = []
    for seed in seeds:
        for right in (first[seed], second[seed]):
            if not right.index.equals(order):
                raise NotComparableError("predictions are not of the same test images")
        aligned.append((first[seed].to_numpy(bool), second[seed].to_numpy(bool)))
    return aligned


def _corrected(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Adds the corrected p value and who is better by it; pairs without a test take no part in the correction."""
    tested = [row for row in rows if "p" in row]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
        row["better"] = "neither"
        if adjusted < LEVEL and row["difference"] != 0:
            row["better"] = row["first"] if row["difference"] > 0 else row["second"]
    missing = [
        "images",
        "difference",
        "difference_low",
        "difference_high",
        "p_per_seed",
        "p",
        "p_holm",
        "better",
        "reason",
    ]
    return pd.DataFrame([dict.fromkeys(missing) | row for row in rows])
