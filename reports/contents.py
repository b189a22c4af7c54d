"""What a report is made of: its tables, figures and sentences, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from reports import cell_format
from reports.cell_format import Column

HTML = "index.html"


@dataclass(frozen=True)
class Table:
    """One source for every format."""

    name: str
    """File stem, and its name in a README marker."""
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    note: str = ""
    """What a reader must know to read the numbers right."""

    def where(self, **values: object) -> Table:
        """The rows whose columns have these values."""
        frame = self.frame
        if frame.empty:
            return self
        for key, value in values.items():
            frame = frame[frame[key].isna() if cell_format.absent(value) else frame[key] == value]
        return replace(self, frame=frame)


@dataclass(frozen=True)
class SavedFigure:
    """A figure as written: one stem, several formats."""

    title: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Report:
    """What `write_report` made."""

    title: str
    page: Path
    tables: dict[str, Table]
    """By name, in the order of reading."""
    figures: dict[str, list[SavedFigure]] = field(default_factory=dict)
    """By kind, as in `reports.figures.select.KINDS`."""
    summary: tuple[str, ...] = ()
    """Sentences, plain text."""
    galleries: tuple[tuple[str, str], ...] = ()
    """Name of each gallery of what a Run attends to, and its path as seen from the page's folder."""

    @property
    def html(self) -> Path:
        """The report as one page that needs no other file."""
        return self.page.with_name(HTML)

    @property
    def paths(self) -> list[Path]:
        """Every file of the report, the page first."""
        figures = [path for several in self.figures.values() for figure in several for path in figure.paths]
        tables = [self.page.parent / f"{name}{suffix}" for name in self.tables for suffix in (".csv", ".tex")]
        return [self.page, self.html, *tables, *figures]
