"""Is one method better than another, on the same images and the same seeds?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from reports import columns
from reports.answers import Answered, Answers
from reports.groups import Group, arenas, groups, labels
from reports.statistics import bootstrap, holm, mcnemar, pooled_p
from reports.tables import Table
from results.record import Record

LEVEL = 0.05
COMPARED = ("images", "difference", "difference_low", "difference_high", "p_per_seed", "p", "p_bootstrap", "reason")
"""What `compared` tells, besides the number of seeds."""


class NotComparableError(Exception):
    """Why a pair has no test."""


def paired(records: Iterable[Record], answers: Answers) -> Table:
    """One row per pair of experiments that share dataset, split, backbone, pretraining, input size and protocol.

    Variants of one method are left to the table of ablations.
    """
    rows: list[dict[str, Any]] = []
    for arena, members in arenas(groups(records)).items():
        if len(members) == 1:
            continue
        names = labels(pd.DataFrame([group.names for group in members]))
        for first, second in combinations(range(len(members)), 2):
            if _are_variants(members[first], members[second]):
                continue
            pair = {"dataset": arena.dataset, "protocol": arena.protocol, "backbone": arena.backbone}
            pair |= {"arena": str(arena), "first": names[first], "second": names[second]}
            rows.append(pair | compared(answers.of(members[first]), answers.of(members[second])))
    frame = pd.DataFrame(decided(rows))
    return Table("paired", "Paired comparison", frame, columns.PAIRED_COLUMNS, columns.PAIRED_NOTE)


def _are_variants(first: Group, second: Group) -> bool:
    """Of one method: compared in the table of ablations, where 28 of them make 27 rows instead of 378 pairs."""
    return first.names["method"] == second.names["method"] and first.names["variant"] != second.names["variant"]


def compared(first: Answered, second: Answered) -> dict[str, Any]:
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


def _common_seeds(first: Answered, second: Answered) -> list[int]:
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
    """`compared` pairs, each with its names `first` and `second`, and with what the whole list makes of them.

    Adds the p values corrected for the list and who is `better` by both; pairs without a test take no part in the
    correction, and nobody is better.
    """
    rows = [dict.fromkeys(("p_holm", "p_bootstrap_holm", "better")) | row for row in rows]
    tested = [row for row in rows if row["p"] is not None]
    for key in ("p", "p_bootstrap"):
        for row, adjusted in zip(tested, holm([row[key] for row in tested]), strict=True):
            row[f"{key}_holm"] = adjusted
    for row in tested:
        row["better"] = "neither"
        if max(row["p_holm"], row["p_bootstrap_holm"]) < LEVEL and row["difference"] != 0:
            row["better"] = row["first"] if row["difference"] > 0 else row["second"]
    return rows
