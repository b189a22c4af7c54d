"""How accurate the classifiers within a method are alone: SEF's groups, DFL-CNN's streams."""

from __future__ import annotations

from typing import Any

from reports import cell_format
from reports.cell_format import percent
from reports.contents import Table
from reports.evidence import Evidence
from reports.tables.accuracies import HEADLINE, NAMES, estimate

COLUMNS = (
    *NAMES,
    cell_format.text("branch", "classifier", compact=True),
    cell_format.explained(
        cell_format.headline(cell_format.estimate("top1", "top-1 alone, %", compact=True)), "of its own answer"
    ),
    cell_format.explained(
        cell_format.estimate("whole", "whole method, %", compact=True),
        "the prediction that the other tables show, over the same seeds",
    ),
    cell_format.number("seeds", "seeds", compact=True),
)
NOTE = "Mean ± standard deviation over seeds, on the whole test set with the last epoch's weights."


def branches(evidence: Evidence) -> Table:
    """One row per experiment and classifier, in the method's order; Runs that did not measure them have none."""
    rows: list[dict[str, Any]] = []
    for group in evidence.groups:
        measured = [record for record in group.done if record.branches]
        for name in measured[0].branches if measured else ():
            known = [record for record in measured if name in record.branches]
            rows.append(
                group.row
                | {"arena": evidence.arenas[group], "branch": name, "seeds": len(known)}
                | estimate("top1", [percent(record.branches[name]) for record in known])
                | estimate("whole", [percent(record.metrics[HEADLINE].top1) for record in known])
            )
    return Table("branches", "Classifiers within a method", rows, COLUMNS, NOTE, split=("arena",))
