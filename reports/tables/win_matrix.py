"""The paired comparison as a matrix: each row is a method's gain over every other one, and whether it is certain."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES, Column, Row
from reports.contents import Table
from reports.names import IDS, Names
from reports.tables.paired import WORDS, verdict


def wins(paired: Table, names: Names = IDS) -> Table:
    """From the table `paired`: a row per method and comparison group, a column per opponent, the most wins first."""
    pairs: dict[str, list[Row]] = defaultdict(list)
    for pair in paired.rows:
        pairs[pair["arena"]].append(pair)
    rows = [row for several in pairs.values() for row in _rows(several)]
    opponents = sorted({str(row["method"]) for row in rows})
    empty = {f"{what} {name}": None for name in opponents for what in ("minus", "against", "seeds")}
    columns = (*COLUMNS, *(_against(name, names.label(name)) for name in opponents))
    return Table("wins", "Win matrix", [empty | row for row in rows], columns, NOTE, split=("arena",))


def _rows(pairs: Sequence[Row]) -> Iterator[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    counts: dict[str, Counter[int | None]] = defaultdict(Counter)
    for pair in pairs:
        shared = {key: pair[key] for key in ("dataset", "protocol", "backbone", "arena")}
        (first, second), (of_first, of_second) = (pair["first"], pair["second"]), pair[SOURCES]
        for method, ids, other, sign in ((first, of_first, second, 1), (second, of_second, first, -1)):
            row = rows.setdefault(method, shared | {"method": method, SOURCES: (ids,)})
            result = verdict(pair, method)
            row[f"against {other}"] = result
            row[f"minus {other}"] = None if pair["difference"] is None else sign * pair["difference"]
            row[f"seeds {other}"] = pair["seeds"]
            counts[method][result] += 1
    for method, row in rows.items():
        row["wins"], row["losses"], row["open"] = (counts[method][result] for result in (1, -1, 0))
        row["untested"] = counts[method][None]
    yield from sorted(rows.values(), key=lambda row: (row["losses"] - row["wins"], row["method"]))


def _against(name: str, heading: str) -> Column:
    def show(row: Row) -> str:
        if row["method"] == name:
            return cell_format.ITSELF
        result = row[f"against {name}"]
        if result is None:
            # Not in this comparison group, or not testable.
            return cell_format.DASH if row["untested"] else ""
        alone = cell_format.alone(row[f"seeds {name}"]) if result else ""
        return f"{cell_format.signed(f'minus {name}', '').show(row)}{WORDS[result]}{alone}"

    return Column(heading, show, compact=True, marks=(cell_format.ONCE,), key=f"minus {name}")


COLUMNS = (
    cell_format.words("method", compact=True),
    cell_format.number("wins", "better than", compact=True),
    cell_format.number("losses", "worse than", compact=True),
    cell_format.number("open", "open", compact=True),
)
NOTE = (
    "Row minus column in percentage points of last-epoch top-1. Better and worse: as in the paired comparison. Open: "
    "neither is shown to be better, which is not a tie."
)
