"""The rows of the project's numbers that are not there: what was planned, why it is missing, and what fills it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports import cell_format
from reports.contents import Table

COMMON = ("suite", "dataset", "protocol", "backbone", "px", "lacking", "why", "command")
"""What experiments that are told in one row of `gaps` share."""
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
    cell_format.words("command", "what fills it"),
)
NOTE = (
    "Runs and seeds: those that are missing, of three each; a row without 0 is measured, by fewer seeds. A dash: they "
    "can't be planned without the data."
)


def planned(rows: Iterable[Mapping[str, Any]]) -> Table:
    """One row per experiment of the project's numbers that has not all of its Runs."""
    frame = pd.DataFrame([_whole(row) for row in rows])
    return Table("planned", "Planned and not there", frame, PLANNED_COLUMNS, NOTE)


def gaps(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The same with everything in one row that is missing in the same place for the same reason."""
    found: list[dict[str, Any]] = []
    frame = pd.DataFrame([_whole(row) for row in rows])
    if not frame.empty:
        for values, members in frame.groupby(list(COMMON), sort=False, dropna=False):
            shared = dict(zip(COMMON, values, strict=True))
            found.append(shared | {"methods": _methods(members["method"].tolist()), "experiments": len(members)})
    return Table("gaps", "What is not measured yet", pd.DataFrame(found), GAP_COLUMNS, NOTE)


def fitting(rows: Iterable[Mapping[str, Any]], wanted: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The rows whose values match these patterns. `variant` and `method` are told apart; `input` is the size."""
    return [row for row in rows if all(fnmatch.fnmatchcase(_value(row, key), value) for key, value in wanted.items())]


def _value(row: Mapping[str, Any], key: str) -> str:
    method, _, variant = str(row.get("method")).partition(":")
    own = {"method": method, "variant": variant or "paper", "input": str(row.get("px"))}
    return own.get(key, str(row.get(key)))


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys((*COMMON, "method", "published")) | dict(row)
    seeds = row.get("seeds") or []
    return names | {"runs": len(seeds) or None, "lacking": ", ".join(map(str, seeds)) or None}


def _methods(names: Sequence[str]) -> str:
    """`plain, sef (baseline, maxent)`: the variants of a method behind it."""
    variants: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        for one in name.split(", "):
            method, _, variant = one.partition(":")
            variants.setdefault(method, []).append(variant or "paper")
    return ", ".join(
        method if found == ["paper"] else f"{method} ({', '.join(found)})" for method, found in variants.items()
    )
