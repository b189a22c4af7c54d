"""Variants of one method side by side: what each gains or loses, and the published value where there is one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES, Row
from reports.comparisons import WHOLE, ComparisonGroup, uncut
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import Group
from reports.tables.accuracies import ACCURACIES, accuracies, readout_of
from reports.tables.paired import COMPARED, compared, decided
from results.identity import CHECKED

DEFAULT = "the default"
"""The value shown for an option that a variant does not set."""
_NAMED = ("dataset", "protocol", "method", "backbone", "pretrained", "input")


def ablation(evidence: Evidence) -> Table:
    """One row per variant of each method that has several in one comparison group.

    The whole method comes first, then its variants by falling accuracy. The difference to the whole method is over
    the seeds that both have, on the same test images, with its bootstrap interval and the larger p of both tests,
    corrected for the variants of the method.
    """
    rows = [row for shared, variants in _families(evidence) for row in _rows(shared, variants, evidence)]
    rows = sorted_rows(rows, ["dataset", "protocol", "method", "backbone", "input", "arena", "rank"])
    return Table("ablation", "Ablations", rows, ABLATION_COLUMNS, ABLATION_NOTE, split=("method", "arena"))


def steps(evidence: Evidence) -> Table:
    """One row per two variants that differ in the value of one constructor option and in nothing else.

    A step leads towards the whole method or, between two values that the whole method does not have, upwards. Of
    several values only neighbours are compared. So this table has the rows of a paper's ablation in which each adds a
    component to the one before, found from the Runs' own settings. They too are corrected for those of one method.
    """
    rows = [row for shared, variants in _families(evidence) for row in _steps(shared, variants, evidence)]
    rows = sorted_rows(rows, ["dataset", "protocol", "method", "backbone", "input", "arena"])
    return Table("steps", "Ablations step by step", rows, STEP_COLUMNS, STEP_NOTE, split=("method", "arena"))


def _families(evidence: Evidence) -> Iterator[tuple[ComparisonGroup, list[Group]]]:
    """The variants of each method that has several in one comparison group."""
    for shared, members in evidence.comparisons.items():
        by_method: dict[str, list[Group]] = defaultdict(list)
        for group in uncut(members):
            by_method[group.run.method].append(group)
        yield from ((shared, variants) for variants in by_method.values() if len(variants) > 1)


def _whole(variants: Iterable[Group]) -> Group | None:
    """None too where there are several, with options of their own: choosing one would be choosing the differences."""
    found = [group for group in variants if group.run.variant == WHOLE]
    return found[0] if len(found) == 1 else None


def _rows(shared: ComparisonGroup, variants: list[Group], evidence: Evidence) -> list[dict[str, Any]]:
    whole = _whole(variants)
    scored = [(accuracies(group, evidence), group) for group in variants]
    scored.sort(key=lambda pair: (pair[1] is not whole, -(pair[0]["last_top1"] or 0.0)))
    rows = [
        _difference(group, whole, evidence)
        | group.row
        | scores
        | {"rank": rank, "seeds": len(group.done), "published": _published(group)}
        | {"epochs": group.epochs, "arena": str(shared)}
        for rank, (scores, group) in enumerate(scored)
    ]
    return _corrected(rows)


def _corrected(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows of one method with their p values and decisions; they are one family."""
    return [{key: row[key] for key in row if key not in {"first", "second"}} for row in decided(rows)]


def _difference(group: Group, whole: Group | None, evidence: Evidence) -> dict[str, Any]:
    """As `compared` has it, over the whole method; nothing where there is none."""
    names = {"first": group.run.variant, "second": WHOLE}
    if whole is None or group is whole:
        return names | _of_both(dict.fromkeys((*COMPARED, "seeds")))
    return names | _of_both(compared(evidence.predictions.of(group), evidence.predictions.of(whole)))


def _of_both(found: Row) -> dict[str, Any]:
    """What `compared` found, its seeds under the name by which rows tell them from a variant's own."""
    return {**found, "difference_seeds": found["seeds"]}


def _steps(shared: ComparisonGroup, variants: list[Group], evidence: Evidence) -> list[dict[str, Any]]:
    rows: list[Row] = []
    whole, predictions = _whole(variants), evidence.predictions
    target = whole.run.options if whole else {}
    for option in sorted({key for group in variants for key in group.run.options}):
        alike: dict[str, list[Group]] = defaultdict(list)
        for group in variants:
            alike[_all_but(group, option)].append(group)
        for same in alike.values():
            valued = [(group.run.options.get(option, DEFAULT), group) for group in same]
            valued.sort(key=lambda pair: (pair[0] == target.get(option, DEFAULT), _order(pair[0])))
            for (before, first), (after, second) in pairwise(valued):
                if before != after:
                    rows.append(
                        {key: first.names[key] for key in _NAMED}
                        | {SOURCES: (second.ids, first.ids)}
                        | {"epochs": first.epochs, "arena": str(shared)}
                        | {"from": first.run.variant, "to": second.run.variant}
                        | {"first": second.run.variant, "second": first.run.variant}
                        | {"option": option, "before": _words(before), "after": _words(after)}
                        | _of_both(compared(predictions.of(second), predictions.of(first)))
                    )
    return _corrected(rows)


def _all_but(group: Group, option: str) -> str:
    """All settings that the group's comparison does not share, without this option and the variant's name."""
    options = {key: value for key, value in group.run.options.items() if key != option}
    rest = group.run.model_dump(exclude={"seed", "variant", "options", *CHECKED})
    return repr([sorted(options.items()), rest])


def _order(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (float("-inf"), str(value))


def _words(value: Any) -> str:
    """An option's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def _published(group: Group) -> str | None:
    """Every published top-1 that these Runs' own prediction reproduces, with its table."""
    own = (row for record in group.records for row in record.published if readout_of(row) is None)
    rows = [row for row in own if row.get("value") is not None]
    return "; ".join(dict.fromkeys(f"{row['value']} ({row.get('table', 'no table named')})" for row in rows)) or None


_P = cell_format.probability("p_decisive", "p (Holm)", compact=True)
_TESTED = (
    "Intervals are by bootstrap over images and seeds. p is the larger of McNemar's and the bootstrap's, after Holm's "
    "correction for the rows of one method in this table."
)
ABLATION_COLUMNS = (
    cell_format.printed(cell_format.words("variant", compact=True)),
    cell_format.text("settings", compact=True),
    cell_format.size("epochs", "epochs", compact=True),
    *ACCURACIES[:2],
    cell_format.number("seeds", "seeds", compact=True),
    *ACCURACIES[2:],
    cell_format.explained(
        cell_format.printed(
            cell_format.once(cell_format.signed("difference", "Δ vs full method", compact=True), "difference_seeds")
        ),
        "in percentage points to the variant “paper”, over the seeds and test images that both have",
    ),
    cell_format.printed(cell_format.interval("difference", "95 % interval of Δ", compact=True)),
    _P,
    cell_format.words("published", compact=True),
)
ABLATION_NOTE = (
    "Top-1 of the last epoch, and what each variant of the method gains or loses against the whole. "
    f"{_TESTED} With one seed, interval and p compare two trained models, not two variants."
)
STEP_COLUMNS = (
    cell_format.words("from", compact=True),
    cell_format.words("to", compact=True),
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.printed(cell_format.words("option", compact=True)),
    cell_format.printed(cell_format.words("before", compact=True)),
    cell_format.printed(cell_format.words("after", compact=True)),
    cell_format.headline(cell_format.printed(cell_format.signed("difference", "gain", compact=True))),
    cell_format.printed(cell_format.interval("difference", "95 % interval", compact=True)),
    cell_format.number("seeds", "seeds", compact=True),
    _P,
)
STEP_NOTE = (
    "Two variants that differ in one option and in nothing else: gain of the second over the first in percentage "
    f"points of last-epoch top-1, over the seeds and test images that both have. {_TESTED}"
)
