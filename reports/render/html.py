"""The report as one HTML file: a summary, a chapter for each job, and the record behind every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.cell_format import DASH, ITSELF, SOURCES, Column
from reports.contents import Report, SavedFigure, Table
from reports.figures.drawing import KINDS
from reports.groups import hardware_name
from reports.names import Names
from reports.render.chapters import ALWAYS, GALLERIES, RUNS, Chapter, chapters
from reports.render.html_code import TEMPLATES, page_code
from reports.render.html_data import IMAGES, PageData
from reports.render.html_facets import facets
from reports.render.html_figures import EmbeddedFigure, Embedder
from reports.render.markdown import common_columns, filled, told
from reports.tables.missing import condensed
from results.files import write_whole
from results.record import Record
from results.settings import Run
from results.values.text import in_a_row

PAGE = 4_800_000
"""Bytes of a page that figures may fill up."""
FIGURES = 500_000
"""Bytes that figures may have on any page, however large its tables are."""


@dataclass(frozen=True)
class LinkedText:
    """The text of a table's cell, the number of the Run whose record it links to, and whether it is in bold."""

    text: str
    run: int | None = None
    strong: bool = False


@dataclass(frozen=True)
class PageTable:
    """One table of the page; every row has a cell per column."""

    heading: str
    columns: list[Column]
    """The first names the rows."""
    rows: list[tuple[list[LinkedText], list[int]]]
    """Cells, and the numbers of the row's Runs."""
    varying: int
    """How many columns differ between rows; the others come after them."""
    common: list[str]
    """Heading and value of each of those others."""

    @cached_property
    def has_extra(self) -> bool:
        """Whether some columns are only shown on demand."""
        return any(map(self.is_extra, self.columns))

    def is_extra(self, column: Column) -> bool:
        """Whether this column is: it matters less than others, or has one value in all rows."""
        varying = self.columns[: self.varying]
        return column not in varying or (not column.compact and any(one.compact for one in varying))


def write_page(report: Report, records: Sequence[Record], data: PageData) -> None:
    """Writes the report to `report.html`, whole or not at all; the same records give the same bytes.

    `data` is what `page_data` gave. Figures are taken from the files that `report.figures` names. Raises
    `results.errors.ResultsError`.
    """
    html = render(report, records, data)
    write_whole(report.html, lambda file: file.write_text(html, encoding="utf-8"), option="--out")


def render(report: Report, records: Sequence[Record], data: PageData) -> str:
    """The page's HTML. The templates escape all text, and the browser runs no script but the page's own."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    blocks: Any = environment.get_template("parts.html").module
    folder = report.html.parent
    numbers = {record.id: number for number, record in enumerate(records)}
    tables = {name: table for name, table in report.tables.items() if name in ALWAYS or table.rows}
    figures = {
        kind: [figure for figure in several if figure is not report.opening] for kind, several in report.figures.items()
    }
    if report.galleries:
        figures[GALLERIES] = [SavedFigure(name, (folder / path,)) for name, path in report.galleries]
    shown = [
        (each, [tables[name] for name in each.tables if name in tables])
        for each in chapters(tables, figures, report.empty)
    ]
    written = {
        table.name: blocks.table_block(
            table, [_page_table(*part, numbers) for part in _parts(table)], chapter.hint, "csv" in report.formats
        )
        for chapter, members in shown
        for table in members
    }
    code = page_code()
    room = PAGE - sum(map(len, (data.records, code.script, code.style, *written.values())))
    images = data.images_within(min(IMAGES, room - FIGURES))
    embed = Embedder(folder, max(FIGURES, room - sum(len(text) for _, text in images)))
    return environment.get_template("page.html").render(
        title=in_a_row(report.title),
        summary=[in_a_row(sentence).replace(" ± ", "\u00a0±\u00a0") for sentence in report.summary],
        opening=embed(report.opening) if report.opening else None,
        facts=list(_facts(records, report.names)),
        chapters=[
            {
                "chapter": chapter,
                "tables": [written[table.name] for table in members],
                "figures": _figures(chapter, figures, embed),
                "empty": not any(table.rows for table in members),
            }
            for chapter, members in shown
        ],
        formats=report.formats,
        missing="missing" in tables,
        runs=len(numbers),
        facets=facets(records, report.names),
        data=data.records,
        images=images,
        code=code,
    )


def _figures(
    chapter: Chapter, figures: Mapping[str, Sequence[SavedFigure]], embed: Embedder
) -> list[tuple[str, list[EmbeddedFigure]]]:
    """Heading and figures of each kind."""
    return [
        (KINDS.get(kind, kind.capitalize()), [embed(figure) for figure in figures[kind]])
        for kind in chapter.figures
        if figures.get(kind)
    ]


def _parts(table: Table) -> Iterator[tuple[str, Table]]:
    if table.name == "missing":
        table = condensed(table)
    return table.parts() if table.rows else iter(())


def _page_table(heading: str, table: Table, numbers: Mapping[str, int]) -> PageTable:
    """The table's columns but for empty ones; those with one value in all rows come last.

    Cells link to Runs that have one of the `numbers`. In a table with a row per Run, the row's name alone does.
    """
    columns, texts = filled(table, table.columns)
    common = [place for place in common_columns(columns, texts) if columns[place].compact and len(texts) > 1]
    order = sorted(range(len(columns)), key=lambda place: place in common)
    several = table.name != RUNS
    rows = []
    for row, cells in zip(table.rows, texts, strict=True):
        sources = [[numbers[run_id] for run_id in ids if run_id in numbers] for ids in row.get(SOURCES, ())]
        links = [
            LinkedText(
                cells[at], _target(columns[at], cells[at], sources) if several else None, columns[at].is_strong(row)
            )
            for at in order
        ]
        rows.append((links, list(chain.from_iterable(sources))))
    values = told(columns, texts, common)
    return PageTable(heading, [columns[at] for at in order], rows, len(order) - len(common), values)


def _target(column: Column, text: str, sources: Sequence[Sequence[int]]) -> int | None:
    """The number of the Run that a measured number links to; names, dashes and blanks link nowhere."""
    measured = column.align == "right" and not column.naming and text not in {"", DASH, ITSELF}
    return next(chain.from_iterable(sources[column.source :]), None) if measured else None


def _facts(records: Sequence[Record], names: Names) -> Iterator[tuple[str, list[str]]]:
    """What the Runs cover: `(name, values)`, for the head of the page."""
    runs = [record.run for record in records]
    for name, values in (
        ("Datasets", [names.dataset(run.task) for run in runs if isinstance(run, Run)]),
        ("Methods", [names.method(run.method) for run in runs]),
        ("Backbones", [names.backbone(run.backbone) for run in runs]),
        ("Measured on", [hardware_name(record) for record in records]),
        ("Commits", [record.commit[:10] if record.commit else None for record in records]),
    ):
        if known := sorted({in_a_row(str(value)) for value in values if value is not None}):
            yield name, known
