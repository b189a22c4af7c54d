"""Which published row `reproduce METHOD` trains: the one that people mean by the paper's number."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.planning import method_files
from benchmarks.planning.method_files import Answer, PublishedRow

DEFAULT_DATASET = "cub_200_2011"
"""Of a method without published rows."""


def headline(method: str, dataset: str | None = None, backbone: str | None = None) -> Answer:
    """The Run that reproduces the first row of `published.yaml` with a number.

    A `dataset` or `backbone` that is named chooses among the rows, and replaces the row's own where no row has it. Of
    several rows left, one on the dataset and the backbone of the first is taken.
    """
    own = method_files.method_file(method).recipe.backbone
    left = answered(method) or [Answer(variant="paper", dataset=DEFAULT_DATASET, backbone=own)]
    first = left[0]
    asked = {key: value for key, value in (("dataset", dataset), ("backbone", backbone)) if value is not None}
    for key, value in asked.items():
        left = [one for one in left if getattr(one, key) == value] or left
    nearest = min(left, key=lambda one: (one.dataset != first.dataset, one.backbone != first.backbone))
    return nearest.model_copy(update=asked)


def answered(method: str) -> list[Answer]:
    """The Runs that reproduce a published number, each once, in the order of the rows."""
    rows = method_files.published(method)
    distinct: list[Answer] = []
    for row in rows:
        if row.value is not None and row.answered_by is not None and row.answered_by.run not in distinct:
            distinct.append(row.answered_by.run)
    return distinct


def value(rows: Sequence[PublishedRow]) -> float | None:
    """The number that the prediction of a Run stands beside; of the first read-out where there is no other."""
    own = [row for row in rows if row.answered_by and row.answered_by.readout is None]
    return next((row.value for row in [*own, *rows]), None)
