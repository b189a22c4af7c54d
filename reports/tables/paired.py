"""Is one method better than another, on the same images and the same seeds?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from reports import cell_format
from reports.cell_format import NEITHER, SOURCES, Column, Row
from reports.comparisons import WHOLE, contestants, uncut
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import Group, group_labels
from reports.predictions import Predictions
from reports.statistics import bootstrap, holm, mcnemar, pooled_p
from results.resampling import LEVEL

COMPARED = ("images", "difference", "difference_low", "difference_high", "p_per_seed", "p", "p_bootstrap", "reason")
"""Keys of `compared`, besides the number of seeds."""
DECIDED = ("p_holm", "p_bootstrap_holm", "p_decisive", "family", "better")
"""Keys that `decided` adds."""
WORDS = {1: " better", -1: " worse", 0: " open", None: ""}
"""How a `verdict` is told behind a difference."""
Ids = tuple[str, ...]
"""Of the Runs of an experiment."""
Winners = Mapping[frozenset[Ids], Ids | None]
"""Two experiments that were tested against each other -> the better one; None: no difference shown."""


class NotComparableError(Exception):
    """Why a pair has no test."""


def paired(evidence: Evidence, shown: Callable[[Group], bool] = lambda group: True) -> Table:
    """One row per pair of methods of a comparison group.

    The correction is over all pairs of the comparison group, however few of them have two experiments that are
    `shown`: a verdict does not depend on the page it stands on.
    """
    rows: list[Row] = []
    for shared, members in evidence.comparisons.items():
        family = pairs(members)
        visible = [shown(first) and shown(second) for first, second in family]
        if not any(visible):
            continue
        name = group_labels(contestants(members))
        place = {key: getattr(shared, key) for key in ("dataset", "protocol", "backbone", "input", "epochs")}
        tested = decided(
            [
                {**place, "arena": str(shared), "first": name[first], "second": name[second]}
                | {SOURCES: (first.ids, second.ids)}
                | compared(evidence.predictions.of(first), evidence.predictions.of(second))
                for first, second in family
            ]
        )
        rows += [row for row, one in zip(tested, visible, strict=True) if one]
    return Table("paired", "Paired comparison", rows, COLUMNS, NOTE, split=("arena",))


def pairs(members: Sequence[Group]) -> list[tuple[Group, Group]]:
    """The pairs of a comparison group by which methods are compared: one family for the correction.

    Variants of one method are compared in the table of ablations, where 28 of them make 27 rows instead of 378 pairs.
    """
    every = combinations(contestants(members), 2)
    return [(first, second) for first, second in every if not _are_variants(first, second)]


def variant_pairs(members: Sequence[Group], variant: Group, other: Group) -> list[tuple[Group, Group]]:
    """All variants of the method of `variant` in a comparison group, each with the same `other`: one family.

    With the whole method as `other` they are the rows of a table of ablations. Whoever picks one pair of them for a
    sentence has seen the others.
    """
    alike = [group for group in uncut(members) if group.run.method == variant.run.method]
    return [(group, other) for group in alike if group.run.variant != WHOLE and group is not other]


def _are_variants(first: Group, second: Group) -> bool:
    return first.run.method == second.run.method and first.run.variant != second.run.variant


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
        # Where neither images nor seeds vary, the difference is certain.
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


def decided(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Pairs of one family, as `compared` gives them with their names `first` and `second`, and the decision on each.

    Adds the p values corrected for the `family`, which is the number of pairs with a test; `p_decisive`, the larger of
    the two, since both tests have to agree; and which one is `better` by it. Pairs without a test are not counted in
    the correction, and neither of the two is better.
    """
    found: list[dict[str, Any]] = [dict.fromkeys(DECIDED) | dict(row) for row in rows]
    tested = [row for row in found if row["p"] is not None]
    for key in ("p", "p_bootstrap"):
        for row, adjusted in zip(tested, holm([row[key] for row in tested]), strict=True):
            row[f"{key}_holm"] = adjusted
    for row in tested:
        row["family"] = len(tested)
        row["better"] = NEITHER
        row["p_decisive"] = max(row["p_holm"], row["p_bootstrap_holm"])
        if row["p_decisive"] < LEVEL and row["difference"] != 0:
            row["better"] = row["first"] if row["difference"] > 0 else row["second"]
    return found


def verdict(row: Row, name: str) -> int | None:
    """1 if `name` is the better one of the pair, -1 if the other is, 0 if it is open, None without a test."""
    if row["better"] is None:
        return None
    return 0 if row["better"] == NEITHER else 1 if row["better"] == name else -1


def decisions(pairs: Iterable[Row]) -> Winners:
    """What the rows of the table say of each pair that was tested."""
    found: dict[frozenset[Ids], Ids | None] = {}
    for row in pairs:
        if row["better"] is not None:
            by_name = dict(zip((row["first"], row["second"]), row[SOURCES], strict=True))
            found[frozenset(row[SOURCES])] = by_name.get(row["better"])
    return found


def _better(row: Row) -> str:
    """Which one is better, marked where one seed compares two models and not two methods."""
    if row["better"] is None:
        return cell_format.DASH
    return f"{row['better']}{cell_format.alone(row['seeds']) if row['better'] != NEITHER else ''}"


COLUMNS = (
    cell_format.printed(cell_format.words("first", compact=True)),
    cell_format.printed(cell_format.words("second", compact=True)),
    cell_format.headline(cell_format.printed(cell_format.signed("difference", "first − second", compact=True))),
    cell_format.printed(cell_format.interval("difference", "95 % interval", compact=True)),
    cell_format.printed(
        Column("better at 5 %", _better, compact=True, align="left", marks=(cell_format.ONCE,), key="better")
    ),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.number("images", "images"),
    cell_format.text("p_per_seed", "McNemar per seed"),
    cell_format.probability("p", "p McNemar"),
    cell_format.explained(
        cell_format.probability("p_holm", "p McNemar (Holm)", compact=True),
        "asks whether the trained models differ on these images: exact per seed, over seeds twice the mean, which is "
        "valid however the seeds depend on each other; a seed that contradicts the mean counts as 2 − p",
    ),
    cell_format.probability("p_bootstrap", "p bootstrap"),
    cell_format.explained(
        cell_format.probability("p_bootstrap_holm", "p bootstrap (Holm)", compact=True),
        "asks whether the methods differ: over images and seeds, as the interval",
    ),
    cell_format.number("family", "pairs corrected for"),
)
NOTE = (
    "Last-epoch top-1 on the same test images and the same seeds, in percentage points. Better: by both tests, after "
    "Holm's correction for all pairs of methods of the comparison, including those that a page leaves out. With one "
    "seed this compares two models, not two methods. Variants of a method that is there as a whole are in the table "
    "of ablations."
)
