"""Which rows of a table stand together under one heading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reports.cell_format import Column
from reports.contents import Table

_TASK = ("dataset", "protocol")
SPLIT = {
    **dict.fromkeys(("head_to_head", "localisation", "part_hits"), _TASK),
    **dict.fromkeys(("ablation", "steps", "paired", "wins"), ("arena",)),
}
"""By table, the columns in which the rows of one part are alike."""


def sections(table: Table) -> Iterator[tuple[str, Table]]:
    """`(heading, part)`: accuracies on different datasets or by different protocols are never in one table.

    A table that is not split is one part with an empty heading.
    """
    if table.name not in SPLIT or table.frame.empty:
        yield "", table
        return
    keys = list(SPLIT[table.name])
    for values in table.frame[keys].drop_duplicates().itertuples(index=False):
        part = table.where(**dict(zip(keys, values, strict=True)))
        heading = f"{values[0]}, {values[1]} recipe" if len(values) > 1 else str(values[0])
        yield heading, replace(part, title=f"{table.title}: {heading}", columns=_telling(part))


def _telling(part: Table) -> tuple[Column, ...]:
    """The columns that are not blank in every row: a matrix has an opponent's column only where it has met it."""
    rows = [{str(key): value for key, value in row.items()} for row in part.frame.to_dict("records")]
    return tuple(column for column in part.columns if any(map(column.show, rows)))
