"""What a report is made of: its tables, figures and sentences, and where its files lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd

from reports.cell_format import DASH, FOOTNOTES, PART, SOURCES, Column, Row
from reports.names import IDS, Names

HTML = "index.html"
DOCUMENT = "report.tex"
Format = Literal["html", "md", "csv", "latex"]
FORMATS: tuple[Format, ...] = ("html", "md", "csv", "latex")
"""What a report is written as: one page for a browser, one of Markdown, a CSV or LaTeX file for each table."""
OPENING = "throughput"
"""The kind of figure with which a report opens."""
AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True)
class Table:
    """One source for every format. All rows have the same keys."""

    name: str
    """File stem, and its name in a README marker."""
    title: str
    rows: Sequence[Row]
    """Unrounded values by column name, of which `columns` show some."""
    columns: tuple[Column, ...]
    note: str = ""
    """What a reader must know to read the numbers right."""
    split: tuple[str, ...] = ()
    """Column names by whose values the rows are shown in separate parts: what may not be compared, such as results on
    different datasets, never stands in one part."""
    headings: Mapping[str, str] = field(default_factory=dict)
    """Value of `split` -> what the heading of its part shows in its place."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows without their `SOURCES` and `PART`, to write as CSV; a missing number is NaN.

        Without rows it has the keys of its parts and columns.
        """
        keys = [*self.split, *(column.key for column in self.columns if column.key)]
        table = pd.DataFrame(self.rows, columns=None if self.rows else list(dict.fromkeys(keys)))
        return table.drop(columns=[SOURCES, PART], errors="ignore")

    @property
    def footnote(self) -> str:
        """What the marks mean that some of its values have; else empty."""
        cells = [(column.marks, column.show(row)) for column in self.columns if column.marks for row in self.rows]
        found = (mark for mark in FOOTNOTES if any(mark in marks and mark in text for marks, text in cells))
        return "; ".join(FOOTNOTES[mark] for mark in found)

    @property
    def meanings(self) -> list[tuple[str, str]]:
        """Heading of each column that has a value, and what it means, where the heading alone does not say it."""
        known = [column for column in self.columns if column.meaning]
        return [(column.heading, column.meaning) for column in known if column.is_shown(map(column.show, self.rows))]

    def where(self, **values: object) -> Table:
        """The rows whose columns have these values."""
        return replace(self, rows=[row for row in self.rows if all(row[key] == values[key] for key in values)])

    def parts(self) -> Iterator[tuple[str, Table]]:
        """`(heading, part)` for each value of `split`; a table that is not split is one part with an empty heading.

        A part has only the columns in which some row is not blank, and none that repeats its heading in each row.
        """
        if not self.split or not self.rows:
            yield "", self
            return
        for values in dict.fromkeys(tuple(row[key] for key in self.split) for row in self.rows):
            part = self.where(**dict(zip(self.split, values, strict=True)))
            heading = ", ".join(self.headings.get(str(value), str(value)) for value in values)
            shown = [column for column in self.columns if any(map(column.show, part.rows))]
            columns = tuple(column for column in shown if not _repeats(column, part.rows, heading))
            yield heading, replace(part, title=f"{self.title}: {heading}", columns=columns)


def _repeats(column: Column, rows: Sequence[Row], heading: str) -> bool:
    """Whether the column has one value, dashes aside, and the heading says it as comparison groups are named."""
    values = {column.show(row) for row in rows} - {DASH}
    if not column.naming or len(values) != 1:
        return False
    value = values.pop()
    phrases = (value, f"{value} {column.heading}", f"{column.heading}: {value}", value.replace("=", ": "))
    return any(f", {phrase}, " in f", {heading}, " for phrase in phrases)


def sorted_rows(rows: Sequence[AnyRow], order: Sequence[str], descending: Sequence[str] = ()) -> list[AnyRow]:
    """Rows ordered by columns that may mix words and numbers; rows without a value come last."""
    ordered = list(rows)
    for key in reversed(order):
        known = [row for row in ordered if row[key] is not None]
        numeric = all(isinstance(row[key], int | float) for row in known)
        known.sort(key=lambda row: row[key] if numeric else str(row[key]), reverse=key in descending)
        ordered = known + [row for row in ordered if row[key] is None]
    return ordered


@dataclass(frozen=True)
class SavedFigure:
    """A figure as written: one stem, several formats."""

    title: str
    paths: tuple[Path, ...]
    caption: str = ""
    """What it shows, in sentences: plain text."""


@dataclass(frozen=True)
class Report:
    """What `write_report` made."""

    title: str
    page: Path
    tables: dict[str, Table]
    """By name, in the order of reading."""
    figures: dict[str, list[SavedFigure]] = field(default_factory=dict)
    """By kind, as in `reports.figures.drawing.KINDS`."""
    summary: tuple[str, ...] = ()
    """Sentences, plain text."""
    galleries: tuple[tuple[str, str], ...] = ()
    """Name of each gallery of what a Run attends to, and its path as seen from the page's folder."""

    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Run and file of it that can't be read or trusted -> the reason, which names the file."""
    formats: Sequence[Format] = FORMATS
    """As which it was written; a page links to no file of another format."""
    names: Names = IDS
    """What the page shows in the place of ids."""

    @property
    def opening(self) -> SavedFigure | None:
        """The figure that stands before all tables: accuracy against throughput, of most methods."""
        return next(iter(self.figures.get(OPENING, ())), None)

    @property
    def empty(self) -> set[str]:
        """The names of tables without rows."""
        return {name for name, table in self.tables.items() if not table.rows}

    @property
    def html(self) -> Path:
        """The report as one page that needs no other file."""
        return self.page.with_name(HTML)

    @property
    def document(self) -> Path:
        """All tables as one LaTeX document, which reads their files."""
        return self.page.with_name(DOCUMENT)

    @property
    def paths(self) -> list[Path]:
        """Every file of the report, the pages first."""
        figures = [path for several in self.figures.values() for figure in several for path in figure.paths]
        suffixes = [suffix for name, suffix in (("csv", ".csv"), ("latex", ".tex")) if name in self.formats]
        single = (("md", self.page), ("html", self.html), ("latex", self.document))
        pages = [path for name, path in single if name in self.formats]
        tables = [self.page.parent / f"{name}{suffix}" for name in self.tables for suffix in suffixes]
        return [*pages, *tables, *figures]
