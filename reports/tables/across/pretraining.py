"""What the backbones were trained on before: a row per dataset, backbone and weights."""

from __future__ import annotations

from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from results.pretraining import described, overlaps


def pretraining(evidence: Evidence) -> Table:
    """What is known of each backbone's weights, and of what they have in common with each dataset."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for group in evidence.groups:
        run = group.run
        names = {"dataset": run.task, "backbone": run.backbone, "weights": run.pretrained}
        row = found.setdefault(
            (run.task, run.backbone, run.pretrained),
            names
            | {"pretraining": described(run.pretrained)}
            | {"overlap": "; ".join(overlaps(run.pretrained, run.dataset)) or None, "experiments": 0, SOURCES: ((),)},
        )
        row["experiments"] += 1
        row[SOURCES] = ((*row[SOURCES][0], *group.ids),)
    rows = sorted_rows(list(found.values()), ["dataset", "backbone", "weights"])
    return Table("pretraining", "Pretraining", rows, COLUMNS, NOTE)


COLUMNS = (
    cell_format.text("backbone", compact=True),
    cell_format.text("dataset", compact=True),
    cell_format.text("weights"),
    cell_format.words("pretraining", compact=True),
    cell_format.words("overlap", "known overlap with the dataset", compact=True),
    cell_format.number("experiments", "experiments"),
)
NOTE = (
    "By the name of the weights, in the order of training; unknown: the name does not say. What a teacher of distilled "
    "weights saw is in no name. Overlaps are those that somebody reported; a dash does not mean that there are none."
)
