"""Is one method better than another, on the same images and the same seeds?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import columns
from reports.groups import Group, arenas, groups, labels
from reports.statistics import accuracy_draws, difference_interval, holm, mcnemar, pooled_p
from reports.tables import Table
from results.record import Record

LEVEL = 0.05
Predictions = Callable[[str], pd.DataFrame | None]
"""Run id -> its table of predictions, as `ResultStore.predictions`."""


class NotComparableError(Exception):
    """Why a pair has no test."""


@dataclass(frozen=True)
class Answer:
    """Of one seed's last epoch, in the order of the images' names."""

    images: NDArray[np.str_]
    right: NDArray[np.bool_]

    @cached_property
    def draws(self) -> NDArray[np.float32]:
        """Its accuracy on bootstrap draws of the images, `(DRAWS, 1)`."""
        return accuracy_draws(self.right[:, None])


Answers = dict[int, Answer]
"""By seed."""


def paired(records: Iterable[Record], predictions: Predictions) -> Table:
    """One row per pair of experiments that share dataset, split, backbone, pretraining, input size and protocol.

    Variants of one method are left to the table of ablations.
    """
    rows: list[dict[str, Any]] = []
    for arena, members in arenas(groups(records)).items():
        if len(members) == 1:
            continue
        answers = [answers_of(group, predictions) for group in members]
        names = labels(pd.DataFrame([group.names for group in members]))
        for first, second in combinations(range(len(members)), 2):
            if _are_variants(members[first], members[second]):
                continue
            pair = {"dataset": arena.dataset, "protocol": arena.protocol, "backbone": arena.backbone}
            pair |= {"first": names[first], "second": names[second]}
            rows.append(pair | compared(answers[first], answers[second]))
    return Table("paired", "Paired comparison", _corrected(rows), columns.PAIRED_COLUMNS, columns.PAIRED_NOTE)


def _are_variants(first: Group, second: Group) -> bool:
    """Of one method: compared in the table of ablations, where 28 of them make 27 rows instead of 378 pairs."""
    return first.names["method"] == second.names["method"] and first.names["variant"] != second.names["variant"]


def answers_of(group: Group, predictions: Predictions) -> Answers:
    """What each finished seed's last epoch got right."""
    answers = {}
    for record in group.done:
        table = predictions(record.id)
        last = table[table["selection"] == "last"] if table is not None else None
        if last is not None and len(last):
            order = np.argsort(last["image"].to_numpy(str))
            right = (last["prediction"] == last["label"]).to_numpy(bool)[order]
            answers[int(record.run.get("seed", 0))] = Answer(last["image"].to_numpy(str)[order], right)
    return answers


def compared(first: Answers, second: Answers) -> dict[str, Any]:
    """`first` minus `second` in points, its interval and p values, or the `reason` why they can't be compared."""
    try:
        seeds = _common_seeds(first, second)
    except NotComparableError as reason:
        return {"seeds": 0, "reason": str(reason)}
    p_values = [mcnemar(first[seed].right, second[seed].right) for seed in seeds]
    draws = [np.column_stack([answers[seed].draws for seed in seeds]) for answers in (first, second)]
    low, high = difference_interval(draws[0], draws[1])
    accuracies = [np.mean([answers[seed].right for seed in seeds]) for answers in (first, second)]
    return {
        "seeds": len(seeds),
        "images": len(first[seeds[0]].images),
        "difference": 100 * float(accuracies[0] - accuracies[1]),
        "difference_low": 100 * low,
        "difference_high": 100 * high,
        "p_per_seed": ", ".join(f"{p:.2g}" for p in p_values),
        "p": pooled_p(p_values),
        "reason": None,
    }


def _common_seeds(first: Answers, second: Answers) -> list[int]:
    """The seeds that both have, on the same images. Raises `NotComparableError`."""
    if not first or not second:
        raise NotComparableError("no stored predictions of a finished Run")
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise NotComparableError("no seed in common")
    images = first[seeds[0]].images
    if not all(np.array_equal(images, answers[seed].images) for seed in seeds for answers in (first, second)):
        raise NotComparableError("predictions are not of the same test images")
    return seeds


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
