"""Is one method better than another, on the same images and the same seeds?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from reports.cell_format import NEITHER
from reports.comparisons import arenas, contestants
from reports.contents import Table
from reports.groups import Group, groups, labels
from reports.predictions import PredictionCache, Predictions
from reports.statistics import bootstrap, holm, mcnemar, pooled_p
from reports.tables import columns
from results.record import Record

LEVEL = 0.05
PLACE = ("dataset", "protocol", "backbone", "input", "epochs")
"""What a row tells of its arena in columns of their own."""
COMPARED = ("images", "difference", "difference_low", "difference_high", "p_per_seed", "p", "p_bootstrap", "reason")
"""What `compared` tells, besides the number of seeds."""


class NotComparableError(Exception):
    """Why a pair has no test."""


def paired(
    records: Iterable[Record], answers: PredictionCache, shown: Callable[[Group], bool] = lambda group: True
) -> Table:
    """One row per pair of methods of an arena.

    The correction is over all pairs of an arena, however few of them have two experiments that are `shown`: a verdict
    does not depend on the page it stands on.
    """
    rows: list[dict[str, Any]] = []
    for arena, members in arenas(groups(records)).items():
        family = pairs(members)
        told = [shown(first) and shown(second) for first, second in family]
        if not any(told):
            continue
        rivals = contestants(members)
        named = labels(pd.DataFrame([group.names for group in rivals]))
        name = dict(zip(map(id, rivals), named, strict=True))
        place = {key: getattr(arena, key) for key in PLACE} | {"arena": str(arena)}
        every = decided(
            [
                {**place, "first": name[id(first)], "second": name[id(second)]}
                | compared(answers.of(first), answers.of(second))
                for first, second in family
            ]
        )
        rows += [row for row, one in zip(every, told, strict=True) if one]
    return Table("paired", "Paired comparison", pd.DataFrame(rows), columns.PAIRED_COLUMNS, columns.PAIRED_NOTE)


def pairs(members: Sequence[Group]) -> list[tuple[Group, Group]]:
    """The pairs of an arena by which methods are compared, which are one family for the correction.

    Variants of one method are compared in the table of ablations, where 28 of them make 27 rows instead of 378 pairs.
    """
    every = combinations(contestants(members), 2)
    return [(first, second) for first, second in every if not _are_variants(first, second)]


def _are_variants(first: Group, second: Group) -> bool:
    return first.names["method"] == second.names["method"] and first.names["variant"] != second.names["variant"]


def compared(first: Predictions, second: Predictions) -> dict[str, Any]:
    """`first` minus `second` in points, its interval and p values, or the `reason` why they can't be compared."""
    try:
        seeds = _common_seeds(first, second)
    except NotComparableError as reason:
        return dict.fromkeys(COMPARED) | {"seeds": 0, "reason": str(reason)}
    p_values = [mcnemar(first.by_seed[seed].right, second.by_seed[seed].right) for seed in seeds]
    differences = first.right(seeds).mean(axis=0) - second.right(seeds).mean(axis=0)
    found = bootstrap(differences, first.draws(seeds) - second.draws(seeds))
    value = 100 * float(differences.mean())
    return {
        "seeds": len(seeds),
        "images": len(first.by_seed[seeds[0]].images),
        "difference": value,
        "difference_low": 100 * found.low if found else None,
        "difference_high": 100 * found.high if found else None,
        "p_per_seed": ", ".join(f"{p:.2g}" for p in p_values),
        "p": pooled_p(p_values, differences.tolist()),
        # Where no image and no seed makes a difference to the difference, it is certain.
        "p_bootstrap": found.p if found else float(value == 0),
        "reason": None,
    }


def _common_seeds(first: Predictions, second: Predictions) -> list[int]:
    """The seeds that both have, on the same images. Raises `NotComparableError`."""
    if not first.seeds or not second.seeds:
        raise NotComparableError("no stored predictions of a finished Run")
    seeds = sorted(first.by_seed.keys() & second.by_seed.keys())
    if not seeds:
        raise NotComparableError("no seed in common")
    images = first.by_seed[seeds[0]].images
    if any(one.by_seed[seed].images is not images for seed in seeds for one in (first, second)):
        raise NotComparableError("predictions are not of the same test images")
    return seeds


def decided(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`compared` pairs of one family, each with its names `first` and `second`, and with what the family makes of them.

    Adds the p values corrected for the `family`, which is the number of pairs with a test, and who is `better` by both;
    pairs without a test take no part in the correction, and nobody is better.
    """
    rows = [dict.fromkeys(("p_holm", "p_bootstrap_holm", "family", "better")) | row for row in rows]
    tested = [row for row in rows if row["p"] is not None]
    for key in ("p", "p_bootstrap"):
        for row, adjusted in zip(tested, holm([row[key] for row in tested]), strict=True):
            row[f"{key}_holm"] = adjusted
    for row in tested:
        row["family"] = len(tested)
        row["better"] = NEITHER
        if max(row["p_holm"], row["p_bootstrap_holm"]) < LEVEL and row["difference"] != 0:
            row["better"] = row["first"] if row["difference"] > 0 else row["second"]
    return rows
