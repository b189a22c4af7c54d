"""A table of a report as a test sees it."""

from __future__ import annotations

from reports.contents import Table


def only_row(table: Table) -> dict:
    (row,) = table.frame.to_dict("records")
    return row


def shown(table: Table, heading: str) -> list[str]:
    (column,) = [column for column in table.columns if column.heading == heading]
    return [column.show(row) for row in table.frame.to_dict("records")]
