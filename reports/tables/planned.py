"""Planned experiments that lack some of their Runs, as `results/reference/planned.json` lists them."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.cell_format import Row
from reports.contents import Table

SHARED = ("suite", "dataset", "protocol", "backbone", "px", "lacking", "why", "command")
"""What experiments share that stand in one row of `gaps`."""


def planned(experiments: Iterable[Row]) -> Table:
    """One row per planned experiment that has not all of its Runs."""
    return Table(
        "planned", "Planned experiments that lack Runs", list(map(_planned_row, experiments)), PLANNED_COLUMNS, NOTE
    )


def gaps(experiments: Iterable[Row]) -> Table:
    """The same, with one row for everything that is missing in the same place for the same reason."""
    together: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in map(_planned_row, experiments):
        together[tuple(row[key] for key in SHARED)].append(row)
    rows = [
        {key: members[0][key] for key in SHARED}
        | {"methods": _methods([row["method"] for row in members]), "experiments": len(members)}
        for members in together.values()
    ]
    return Table("gaps", "What is not measured yet", rows, GAP_COLUMNS, NOTE)


def fitting(experiments: Iterable[Row], wanted: Mapping[str, str]) -> list[Row]:
    """The experiments whose values match these patterns, by the names of a record's filters."""
    return [
        row for row in experiments if all(fnmatch.fnmatchcase(_value(row, key), value) for key, value in wanted.items())
    ]


def _value(row: Row, key: str) -> str:
    method, _, variant = str(row.get("method")).partition(":")
    own = {"method": method, "variant": variant or "paper", "input": str(row.get("px"))}
    return own.get(key, str(row.get(key)))


def _planned_row(row: Row) -> dict[str, Any]:
    seeds = row.get("seeds") or []
    lacking = {"runs": len(seeds) or None, "lacking": ", ".join(map(str, seeds)) or None}
    return dict.fromkeys((*SHARED, "method", "published")) | dict(row) | lacking


def _methods(names: Sequence[str]) -> str:
    """`plain, sef (baseline, maxent)`: each method once, followed by its variants."""
    variants: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        for one in name.split(", "):
            method, _, variant = one.partition(":")
            variants.setdefault(method, []).append(variant or "paper")
    return ", ".join(
        method if found == ["paper"] else f"{method} ({', '.join(found)})" for method, found in variants.items()
    )


PLANNED_COLUMNS = (
    cell_format.text("method", compact=True),
    cell_format.text("dataset", compact=True),
    cell_format.text("protocol", "recipe", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.size("px", "px", compact=True),
    cell_format.number("published", "published, %", 1, compact=True),
    cell_format.number("runs", "Runs", compact=True),
    cell_format.words("lacking", "seeds", compact=True),
    cell_format.words("why", compact=True),
)
GAP_COLUMNS = (
    cell_format.words("suite", compact=True),
    cell_format.text("dataset", compact=True),
    cell_format.text("protocol", "recipe", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.size("px", "px", compact=True),
    cell_format.words("methods", compact=True),
    cell_format.number("experiments", "rows", compact=True),
    cell_format.words("lacking", "seeds", compact=True),
    cell_format.words("why", compact=True),
    cell_format.words("command", "command"),
)
NOTE = (
    "Runs and seeds: the missing ones, of three each; a row without seed 0 has been measured, with fewer seeds. A "
    "dash: the Runs can't be planned without the data."
)
