"""Which rows of a table stand together under one heading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reports.tables import Table

SPLIT = frozenset({"head_to_head", "ablation", "paired"})


def sections(table: Table) -> Iterator[tuple[str, Table]]:
    """`(heading, part)`: accuracies on different datasets or by different protocols are never in one table.

    A table that is not split is one part with an empty heading.
    """
    if table.name not in SPLIT or table.frame.empty:
        yield "", table
        return
    for dataset, protocol in table.frame[["dataset", "protocol"]].drop_duplicates().itertuples(index=False):
        heading = f"{dataset}, {protocol} recipe"
        part = table.where(dataset=dataset, protocol=protocol)
        yield heading, replace(part, title=f"{table.title}: {heading}")
