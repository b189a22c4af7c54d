"""How a table is laid out on a printed page: its columns, what stands above its rows, and where text wraps."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from reports.cell_format import DASH, Column
from reports.contents import Table
from reports.render.latex_text import latin, lines, text_width

PAGE = 32.5
"""Width of the text in em: of LaTeX's article with letters of 12 points, the narrowest of its classes."""
GAP = 0.8
"""Between two columns, in em."""
MOST = 6
"""Columns of a table that people read at a glance."""
NARROWEST = 6.0
"""Of a column whose text wraps, in em."""
HEADING = 12
"""Letters in a line of a column's heading."""
BOLD = 1.15
"""How much wider bold letters are."""


@dataclass(frozen=True)
class Printed:
    """A column of a table as it is printed."""

    column: Column
    cells: tuple[str, ...]
    strong: tuple[bool, ...]
    wrap: float | None = None
    """The width in em at which its text wraps."""

    @property
    def heading(self) -> list[str]:
        """In lines."""
        return textwrap.wrap(latin(self.column.heading), HEADING)

    @property
    def width(self) -> float:
        """In em."""
        widths = [
            text_width(cell) * (BOLD if strong else 1) for cell, strong in zip(self.cells, self.strong, strict=True)
        ]
        return self.wrap or max([*widths, *map(text_width, self.heading)])

    def lines(self, row: int) -> int:
        """About how many a cell takes."""
        return max(1, lines(self.cells[row], self.wrap)) if self.wrap else 1


@dataclass(frozen=True)
class Panel:
    """As much of a table as fits the width of a page."""

    columns: list[Printed]
    groups: dict[str, list[int]]
    """What the rows below it share -> these rows."""

    @property
    def width(self) -> float:
        """In em."""
        return _together(self.columns)

    @property
    def heading(self) -> float:
        """How wide the headings of groups may be, so that they don't widen the table."""
        return max(0.8 * self.width, PAGE / 2)

    @property
    def lines(self) -> int:
        """About how many it takes, with its headings."""
        rows = [row for rows in self.groups.values() for row in rows]
        above = max(len(column.heading) for column in self.columns)
        above += sum(1 + lines(shared, self.heading) for shared in self.groups if shared)
        return above + sum(max(column.lines(row) for column in self.columns) for row in rows)


def chosen(table: Table) -> list[Column]:
    """The main columns that name a row, or else the first, and the measured ones that are `printed`; if none is, the
    `compact` ones; if none is that either, all."""
    measured = [column for column in table.columns if not column.naming]
    for shown in ([one for one in measured if one.printed], [one for one in measured if one.compact]):
        if shown:
            measured = shown
            break
    found = [one for one in table.columns if one in measured or (one.naming and (one.compact or one.printed))]
    named = any(one.naming or one.align == "left" for one in found)
    return found if named else [table.columns[0], *(one for one in found if one is not table.columns[0])]


def laid_out(table: Table, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[Panel]:
    """The table's columns with their cells by row, as panels that fit the page.

    Where there are too many columns, the names that differ least move into headings above the rows that share them.
    Then long text wraps. What still has no room goes to further panels, in which the first columns are repeated; of
    columns that were chosen as `printed` it is left out.
    """
    every = [
        Printed(
            column,
            tuple(latin(row[place]) for row in cells),
            tuple(column.is_strong(row) for row in table.rows),
        )
        for place, column in enumerate(columns)
    ]
    kept, moved = _without_shared(every)
    groups = _groups(moved, len(table.rows))
    panels = [Panel(panel, groups) for panel in _panels(kept)]
    return panels[:1] if any(column.printed and not column.naming for column in columns) else panels


def _without_shared(every: Sequence[Printed]) -> tuple[list[Printed], list[Printed]]:
    """The columns that stay, and those that become headings."""
    kept, moved = list(every), []
    names = [one for one in every[1:] if one.column.naming and len(set(one.cells)) <= max(1, len(one.cells) // 2)]
    for one in sorted(names, key=lambda one: len(set(one.cells))):
        if len(kept) <= MOST and _together(kept) <= PAGE:
            break
        kept.remove(one)
        moved.append(one)
    return kept, [one for one in every if one in moved]


def _groups(moved: Sequence[Printed], rows: int) -> dict[str, list[int]]:
    """The rows below what they share, in order; first those that have no such name."""
    found: dict[str, list[int]] = defaultdict(list)
    for row in range(rows):
        told = [(one.column.heading, one.cells[row]) for one in moved]
        found[", ".join(f"{heading} {cell}" for heading, cell in told if cell not in {"", DASH})].append(row)
    return dict(sorted(found.items(), key=lambda item: item[0] != ""))


def _panels(columns: Sequence[Printed]) -> Iterator[list[Printed]]:
    wrapped = _wrapped(columns, PAGE - GAP * (len(columns) - 1))
    if wrapped and (len(columns) <= MOST or not _measured(columns)):
        yield wrapped
        return
    rest = _measured(columns)
    names = _wrapped(columns[: len(columns) - len(rest)], PAGE / 2)
    if names is None:
        names, rest = [_fitting(columns[0], PAGE / 3)], list(columns[1:])
    while rest:
        panel, rest = [*names, _fitting(rest[0], PAGE - GAP - _together(names))], rest[1:]
        while rest and len(panel) < MOST and _together([*panel, rest[0]]) <= PAGE:
            panel, rest = [*panel, rest[0]], rest[1:]
        yield panel


def _measured(columns: Sequence[Printed]) -> list[Printed]:
    """Those after the first columns, which say what a row is about."""
    names = list(takewhile(lambda one: one.column.naming or one.column.align == "left", columns))
    return list(columns[len(names) :])


def _wrapped(columns: Sequence[Printed], room: float) -> list[Printed] | None:
    """The columns within so many em, the widest texts wrapped; None if their text would become too narrow."""
    texts = [one.width for one in columns if one.column.align == "left"]
    room -= sum(one.width for one in columns if one.column.align == "right")
    for place, width in enumerate(sorted(texts)):
        limit = room / (len(texts) - place)
        if width > limit:
            return [_fitting(one, limit) for one in columns] if limit >= NARROWEST else None
        room -= width
    return list(columns) if room >= 0 else None


def _fitting(column: Printed, width: float) -> Printed:
    return replace(column, wrap=width) if column.column.align == "left" and column.width > width else column


def _together(columns: Sequence[Printed]) -> float:
    return sum(one.width for one in columns) + GAP * (len(columns) - 1)
