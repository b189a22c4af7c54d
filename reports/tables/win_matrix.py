"""The paired comparison as a matrix: in a row what a method gains on each other one, and whether that is certain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from reports import cell_format
from reports.cell_format import Column
from reports.contents import Table
from reports.tables import columns

_WORDS = {1: " better", -1: " worse", 0: " open"}


def wins(pairs: Table) -> Table:
    """From the table `paired`: a row per method and comparison, a column per opponent, the most wins first."""
    if pairs.frame.empty:
        return Table("wins", "Who beats whom", pd.DataFrame(), columns.WINS_COLUMNS, columns.WINS_NOTE)
    rows = [row for _, arena in pairs.frame.groupby("arena", sort=False) for row in _rows(arena)]
    opponents = sorted({str(row["method"]) for row in rows})
    empty = {f"{what} {name}": None for name in opponents for what in ("minus", "against", "seeds")}
    shown = (*columns.WINS_COLUMNS, *(_against(name) for name in opponents))
    return Table("wins", "Who beats whom", pd.DataFrame([empty | row for row in rows]), shown, columns.WINS_NOTE)


def _rows(arena: pd.DataFrame) -> Iterator[dict[str, Any]]:
    pairs = arena.to_dict("records")
    rows: dict[str, dict[Any, Any]] = {}
    counts: dict[str, Counter[Any]] = {}
    for pair in pairs:
        for method, other, sign in ((pair["first"], pair["second"], 1), (pair["second"], pair["first"], -1)):
            row = rows.setdefault(
                method, {key: pair[key] for key in ("dataset", "protocol", "backbone", "arena")} | {"method": method}
            )
            result = _result(pair, method)
            row[f"against {other}"] = result
            row[f"minus {other}"] = None if cell_format.absent(pair["difference"]) else sign * pair["difference"]
            row[f"seeds {other}"] = pair["seeds"]
            counts.setdefault(method, Counter())[result] += 1
    for method, row in rows.items():
        row["wins"], row["losses"], row["open"] = (counts[method][result] for result in (1, -1, 0))
        row["untested"] = counts[method][None]
    yield from sorted(rows.values(), key=lambda row: (row["losses"] - row["wins"], row["method"]))


def _result(pair: dict[Any, Any], method: str) -> int | None:
    """1 if `method` is better, -1 if it is worse, 0 if it is open, None without a test."""
    if cell_format.absent(pair["better"]):
        return None
    return 0 if pair["better"] == cell_format.NEITHER else 1 if pair["better"] == method else -1


def _against(name: str) -> Column:
    def show(row: cell_format.Row) -> str:
        if row["method"] == name:
            return "·"
        result = row[f"against {name}"]
        if cell_format.absent(result):
            # Of another comparison, or not testable: `arena` has its own opponents only.
            return cell_format.DASH if row["untested"] else ""
        alone = cell_format.alone(row[f"seeds {name}"]) if result else ""
        return f"{cell_format.signed(f'minus {name}', '').show(row)}{_WORDS[int(result)]}{alone}"

    return Column(name, show, compact=True)
