"""How accurate the further predictions are that a paper makes with the same weights: PMG's concatenated one …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports import cell_format
from reports.cell_format import percent
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import Group
from reports.tables.accuracies import HEADLINE, NAMES, PASSES, estimate
from results.record import Metrics, Record

OWN = "prediction (headline)"
"""In place of a read-out's name: what all other tables show."""
COLUMNS = (
    *NAMES,
    cell_format.text("readout", "read-out", compact=True),
    cell_format.headline(cell_format.estimate("top1", "top-1, %", compact=True)),
    cell_format.explained(
        cell_format.signed("difference", "Δ to the headline", compact=True), "in percentage points, over the same seeds"
    ),
    cell_format.number("seeds", "seeds", compact=True),
    replace(PASSES, compact=True),
    cell_format.estimate("top5", "top-5, %"),
    cell_format.estimate("mean_class", "mean class, %"),
    cell_format.estimate("calibration_error", "calibration error, %"),
)
NOTE = (
    "Mean ± standard deviation over seeds, on the whole test set with the last epoch's weights. The headline is the "
    "prediction that was fixed in advance and that all other tables show; no read-out takes its place."
)


def readouts(evidence: Evidence) -> Table:
    """A row for the headline and for each read-out of an experiment, in the method's order; Runs that did not score
    read-outs have none."""
    rows: list[dict[str, Any]] = []
    for group in evidence.groups:
        scored = [record for record in group.done if record.readouts]
        if not scored:
            continue
        arena = {"arena": evidence.arenas[group]}
        own = [one.metrics[HEADLINE] for one in scored]
        rows.append(arena | _row(group, OWN, scored[0].model.get("views"), scored, own))
        for name, first in scored[0].readouts.items():
            known = [record for record in scored if name in record.readouts]
            rows.append(arena | _row(group, name, first.views, known, [record.readouts[name] for record in known]))
    return Table("readouts", "Read-outs of one training", rows, COLUMNS, NOTE, split=("arena",))


def _row(
    group: Group, name: str, views: int | None, records: Sequence[Record], found: Sequence[Metrics]
) -> dict[str, Any]:
    row: dict[str, Any] = group.row | {"readout": name, "views": views, "seeds": len(records)}
    for key in ("top1", "top5", "mean_class", "calibration_error"):
        row |= estimate(key, [percent(getattr(one, key)) for one in found])
    gains = [percent(one.top1 - record.metrics[HEADLINE].top1) for one, record in zip(found, records, strict=True)]
    return row | {"difference": None if name == OWN else estimate("gain", gains)["gain"]}
