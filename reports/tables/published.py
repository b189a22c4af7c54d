"""Published values beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from reports import cell_format
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import Group
from reports.tables.accuracies import ACCURACIES, PASSES, accuracies, accuracies_of_readout, readout_of


def published(evidence: Evidence) -> Table:
    """One row per experiment and published top-1 that it reproduces.

    The published value is covered if it lies in our interval. One seed has no interval, and a recipe that was changed
    by hand covers nothing.
    """
    rows = []
    for group in evidence.groups:
        answered = {str(row): row for record in group.records for row in record.published}
        for row in answered.values():
            if row.get("metric", "top1") == "top1" and row.get("value") is not None:
                rows.append(_row(group, row, evidence))
    rows = sorted_rows(rows, ["method", "dataset", "variant", "backbone"])
    return Table("paper", "Paper against ours", rows, COLUMNS, NOTE)


def _row(group: Group, row: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    readout = readout_of(row)
    ours = accuracies(group, evidence) if readout is None else accuracies_of_readout(group, readout)
    value = float(row["value"])
    changed = _each_once(record.changed for record in group.records)
    low, high, last, best = (ours[key] for key in ("last_top1_low", "last_top1_high", "last_top1", "best_on_test_top1"))
    return (
        group.row
        | {f"published_{key}": row.get(key) for key in ("variant", "input_size", "table", "source", "verified")}
        | {"published": value, "seeds": len(group.done) if readout is None else ours["last_top1_n"]}
        | {"readout": readout, "views": _views(group, readout)}
        | ours
        | {"difference": None if last is None else last - value}
        | {"best_difference": None if best is None else best - value}
        | {"covered": None if low is None or high is None or changed else low <= value <= high}
        | {"changed": changed, "deviations": _each_once(record.deviations for record in group.records)}
    )


def _views(group: Group, readout: str | None) -> int | None:
    """Passes through the network per test image of a read-out, or of the prediction."""
    known = (record.readouts[readout].views for record in group.done if readout in record.readouts)
    own = (record.model["views"] for record in group.done if "views" in record.model)
    return next(own if readout is None else known, None)


def _each_once(several: Iterable[list[str]]) -> str | None:
    """The sentences of several Runs, each once; None without any."""
    return "; ".join(dict.fromkeys(chain.from_iterable(several))) or None


COLUMNS = (
    *(cell_format.text(key, compact=True) for key in ("dataset", "method", "variant", "backbone")),
    cell_format.text("protocol", compact=True),
    cell_format.printed(cell_format.text("pretrained")),
    cell_format.size("input", "px"),
    cell_format.text("settings"),
    cell_format.text("published_table", "table", compact=True),
    cell_format.text("published_variant", "variant in the paper"),
    cell_format.size("published_input_size", "px in the paper"),
    cell_format.printed(cell_format.number("published", "published, %", 1, compact=True)),
    cell_format.explained(
        cell_format.yes_no("published_verified", "verified"),
        "whether the value was read in its source, not recalled",
    ),
    cell_format.text("published_source", "source"),
    cell_format.explained(
        cell_format.text("readout", "read-out", compact=True),
        "a further prediction of the same weights, scored once with the last ones; ours is then that of the read-out",
    ),
    *ACCURACIES[:2],
    cell_format.number("seeds", "seeds"),
    *ACCURACIES[2:],
    PASSES,
    cell_format.printed(cell_format.signed("difference", "last − published", compact=True)),
    cell_format.signed("best_difference", "best on test − published"),
    cell_format.yes_no("covered", "interval covers it"),
    cell_format.words("changed", "changed by hand", compact=True),
    cell_format.words("deviations", "known deviations"),
)
NOTE = (
    "Each row compares our accuracy with the one that its paper has, in percentage points. Papers that don't say which "
    "epoch they report often report the best on test."
)
