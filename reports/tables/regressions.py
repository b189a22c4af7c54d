"""Two sets of profile Runs, before and after a change: which became slower, beyond the noise of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reports import cell_format
from reports.contents import Table, sorted_rows
from reports.measurements import Measurement, measurements
from reports.tables.cost.profiles import NAMES, ORDER
from results.record import Record

SLOWER, FASTER, ALIKE, NO_ROOM, ROOM = "slower", "faster", "within the noise", "out of memory", "fits again"
WORSE = (SLOWER, NO_ROOM)
BETWEEN_PROCESSES = 0.05
"""Fraction by which two processes that measure the same may differ, where there are no repeats to show it."""


def regressions(before: Iterable[Record], after: Iterable[Record]) -> Table:
    """One row per measurement and mode that both sides have on the same device; empty if they have none in common.

    Slower means that its fastest blocks now (90th percentile of any repeat) are slower than its slowest before (10th),
    by more than `BETWEEN_PROCESSES` where one side was measured once.
    """
    old, new = _by_settings(before), _by_settings(after)
    rows = [_row(old[key], new[key]) for key in old if key in new]
    return Table("regressions", "Before and after", sorted_rows(rows, ["verdict", *ORDER]), COLUMNS, NOTE)


def not_compared(before: Iterable[Record], after: Iterable[Record]) -> list[str]:
    """Sentences on what could not be compared: it was measured on one side only, or failed."""
    before, after = list(before), list(after)
    old, new = _by_settings(before), _by_settings(after)
    sentences = [
        f"{len(only)} measurements are only {where} and not compared"
        for only, where in ((old.keys() - new.keys(), "before"), (new.keys() - old.keys(), "after"))
        if only
    ]
    for records, where in ((before, "before"), (after, "after")):
        failed = [record.id for record in records if record.run.job == "profile" and record.status == "failed"]
        sentences += [f"failed {where}: {', '.join(failed)}"] if failed else []
    return sentences


def worse(table: Table) -> int:
    """How many measurements became slower, or no longer fit into memory."""
    return sum(row["verdict"] in WORSE for row in table.rows)


def _by_settings(records: Iterable[Record]) -> dict[tuple[str, str], Measurement]:
    """The measurements by settings and mode. Those of other rules count as today's: what a change of the rules does to
    the speed is for this table to show."""
    current = (record.model_copy(update={"hash": record.run.hash}) for record in records)
    return {(one.key, one.mode): one for one in measurements(current)}


def _row(old: Measurement, new: Measurement) -> dict[str, Any]:
    change = 100 * (new.rate / old.rate - 1) if new.rate and old.rate else None
    return new.row | {
        "before": old.rate,
        "after": new.rate,
        "change": change,
        "before_range": _range(old),
        "after_range": _range(new),
        "repeats": f"{len(old.records)}, {len(new.records)}",
        "verdict": _verdict(old, new),
        "before_busy": old.busy,
        "after_busy": new.busy,
    }


def _verdict(old: Measurement, new: Measurement) -> str:
    if new.noise is None or old.noise is None:
        return ALIKE if new.noise == old.noise else NO_ROOM if new.noise is None else ROOM
    margin = 1 + (BETWEEN_PROCESSES if min(len(old.records), len(new.records)) == 1 else 0)
    if margin * new.noise[1] < old.noise[0]:
        return SLOWER
    return FASTER if new.noise[0] > margin * old.noise[1] else ALIKE


def _range(one: Measurement) -> str | None:
    return f"{one.noise[0]:.0f} … {one.noise[1]:.0f}" if one.noise else None


COLUMNS = (
    *NAMES,
    cell_format.marked(cell_format.number("before", "before, images/s", compact=True), "before_busy"),
    cell_format.words("before_range", "p10 … p90"),
    cell_format.marked(cell_format.number("after", "after, images/s", compact=True), "after_busy"),
    cell_format.words("after_range", "p10 … p90 after"),
    cell_format.signed("change", "change, %", compact=True),
    cell_format.words("repeats", "repeats"),
    cell_format.words("verdict", compact=True),
    cell_format.text("hardware"),
)
NOTE = (
    "Slower or faster: the ranges from p10 to p90, over all repeats of either side, don't overlap. Blocks of one "
    "process differ less than two processes do, so where one side was measured once the ranges have to be 5 % apart; "
    "measure with --repeats 3 or more."
)
