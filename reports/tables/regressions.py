"""Two sets of profile Runs, before and after a change: which cells became slower, beyond the noise of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reports import cell_format
from reports.contents import Table
from reports.groups import job
from reports.profile_cells import Cell, cells_of
from reports.tables.head_to_head import sorted_frame
from reports.tables.profiles import NAMES, ORDER
from results.record import Record

SLOWER, FASTER, ALIKE, NO_ROOM, ROOM = "slower", "faster", "within the noise", "out of memory", "fits again"
WORSE = (SLOWER, NO_ROOM)
BETWEEN_PROCESSES = 0.05
"""Part by which two processes may differ that measure the same, where no repeats tell how much they do."""


def regressions(before: Iterable[Record], after: Iterable[Record]) -> Table:
    """One row per cell and mode that both sides have on the same device; empty if they have none in common.

    Slower means that its fastest blocks now (90th percentile of any repeat) are slower than its slowest before (10th),
    by more than `BETWEEN_PROCESSES` where one side was measured once.
    """
    old, new = cells_of(before), cells_of(after)
    rows = [_row(old[key], new[key]) for key in old if key in new]
    return Table("regressions", "Before and after", sorted_frame(rows, ["verdict", *ORDER]), COLUMNS, NOTE)


def alone(before: Iterable[Record], after: Iterable[Record]) -> list[str]:
    """Sentences on what is not compared, since a cell that failed on one side would else be passed over."""
    before, after = list(before), list(after)
    old, new = cells_of(before), cells_of(after)
    said = [
        f"{len(only)} cells are only {where} and not compared"
        for only, where in ((old.keys() - new.keys(), "before"), (new.keys() - old.keys(), "after"))
        if only
    ]
    for records, where in ((before, "before"), (after, "after")):
        failed = [record.id for record in records if job(record) == "profile" and record.status == "failed"]
        said += [f"failed {where}: {', '.join(failed)}"] if failed else []
    return said


def worse(table: Table) -> int:
    """How many cells became slower, or need more memory than there is."""
    return 0 if table.frame.empty else int(table.frame["verdict"].isin(WORSE).sum())


def _row(old: Cell, new: Cell) -> dict[str, Any]:
    change = 100 * (new.rate / old.rate - 1) if new.rate and old.rate else None
    return new.names | {
        "before": old.rate,
        "after": new.rate,
        "change": change,
        "before_range": _range(old),
        "after_range": _range(new),
        "repeats": f"{len(old.records)}, {len(new.records)}",
        "verdict": _verdict(old, new),
    }


def _verdict(old: Cell, new: Cell) -> str:
    if new.noise is None or old.noise is None:
        return ALIKE if new.noise == old.noise else NO_ROOM if new.noise is None else ROOM
    margin = 1 + (BETWEEN_PROCESSES if min(len(old.records), len(new.records)) == 1 else 0)
    if margin * new.noise[1] < old.noise[0]:
        return SLOWER
    return FASTER if new.noise[0] > margin * old.noise[1] else ALIKE


def _range(cell: Cell) -> str | None:
    return f"{cell.noise[0]:.0f} … {cell.noise[1]:.0f}" if cell.noise else None


COLUMNS = (
    *NAMES,
    cell_format.number("before", "before, images/s", compact=True),
    cell_format.words("before_range", "p10 … p90"),
    cell_format.number("after", "after, images/s", compact=True),
    cell_format.words("after_range", "p10 … p90 after"),
    cell_format.signed("change", "change, %", compact=True),
    cell_format.words("repeats", "repeats"),
    cell_format.words("verdict", compact=True),
    cell_format.text("hardware"),
)
NOTE = (
    "Slower or faster: the ranges from p10 to p90, over all repeats of either side, don't meet. A process repeats "
    "itself more closely than two processes do: where one side was measured once, they have to be 5 % apart; "
    "measure with --repeats 3 or more."
)
