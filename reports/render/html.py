"""The report as one HTML file: summary, the three jobs, and the record behind every number."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.cell_format import DASH, Column, one_line
from reports.contents import Report, Table
from reports.groups import hardware_name, job, value_of
from reports.render.chapters import ALWAYS, GALLERIES, Chapter, chapters
from reports.render.html_figures import Embedder
from reports.render.html_links import Sources, of_cell
from reports.render.html_records import records_data
from reports.render.summaries import SummarisingStore
from reports.tables.missing import condensed
from reports.tables.sections import sections
from results.record import Record
from results.store import write_whole

HERE = Path(__file__).parent
Drawn = tuple[str, Sequence[Path]]
"""Title of a picture, and its files."""


@dataclass(frozen=True)
class Cell:
    """Text, and the id of the Run whose record it leads to."""

    text: str
    run: str | None = None


@dataclass(frozen=True)
class Rows:
    """One table of the page; every row has a cell per column."""

    heading: str
    columns: list[Column]
    """The first names the rows."""
    rows: list[tuple[list[Cell], list[str]]]
    """Cells, and the ids of the row's Runs."""
    telling: int
    """How many columns differ between rows; the others come after them."""
    alike: list[str]
    """What those others say."""

    @cached_property
    def has_extra(self) -> bool:
        """Whether some columns are shown on demand alone."""
        return any(map(self.is_extra, self.columns))

    def is_extra(self, column: Column) -> bool:
        """Whether this one is: it matters less than others, or is alike in every row."""
        telling = self.columns[: self.telling]
        return column not in telling or (not column.compact and any(one.compact for one in telling))


def write_page(report: Report, records: Sequence[Record], store: SummarisingStore) -> None:
    """Writes the report on `records` to `report.html`, whole or not at all; the same records give the same bytes.

    Figures are taken from the files that `report.pictures` names. Raises `results.store.ResultsError`.
    """
    html = render(report, records, store)
    write_whole(report.html, lambda file: file.write_text(html, encoding="utf-8"))


def render(report: Report, records: Sequence[Record], store: SummarisingStore) -> str:
    """The page's HTML. All text is escaped by the templates, and none but the page's own script may run."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, look = ((HERE / "templates" / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    folder = report.html.parent
    sources, embed = Sources(records), Embedder(folder)
    tables = {name: table for name, table in report.tables.items() if name in ALWAYS or not table.frame.empty}
    pictures = {kind: [(each.title, each.paths) for each in several] for kind, several in report.pictures.items()}
    pictures[GALLERIES] = [(name, (folder / path,)) for name, path in report.galleries]
    pictures = {kind: several for kind, several in pictures.items() if several}
    return environment.get_template("page.html").render(
        title=one_line(report.title),
        summary=[one_line(sentence) for sentence in report.summary],
        facts=list(_facts(records)),
        chapters=[_chapter(each, tables, pictures, sources, embed) for each in chapters(tables, pictures)],
        missing="missing" in tables,
        data=records_data(records, store),
        script=script,
        look=look,
        policy=f"default-src 'none'; img-src data:; style-src '{_sha256(look)}'; script-src '{_sha256(script)}'",
    )


def _chapter(
    chapter: Chapter,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Sequence[Drawn]],
    sources: Sources,
    embed: Embedder,
) -> dict[str, Any]:
    shown = [tables[name] for name in chapter.tables if name in tables]
    return {
        "chapter": chapter,
        "tables": [(table, [_rows(part, heading, sources) for heading, part in _parts(table)]) for table in shown],
        "figures": [
            (kind.replace("_", " ").capitalize(), [embed(*drawn) for drawn in pictures[kind]])
            for kind in chapter.pictures
            if kind in pictures
        ],
        "empty": all(table.frame.empty for table in shown),
    }


def _parts(table: Table) -> Iterator[tuple[str, Table]]:
    if table.name == "missing":
        table = condensed(table)
    return iter(()) if table.frame.empty else sections(table)


def _rows(table: Table, heading: str, sources: Sources) -> Rows:
    """The table's columns but for those that have nothing in any row."""
    rows = [{str(key): value for key, value in row.items()} for row in table.frame.to_dict("records")]
    shown = [(column, [one_line(column.show(row)) for row in rows]) for column in table.columns]
    shown = [(column, texts) for column, texts in shown if column.says(texts)]
    alike = [pair for pair in shown if _says_the_same(*pair)]
    columns, texts_of = zip(*[pair for pair in shown if pair not in alike], *alike, strict=True)
    found = []
    for row, *texts in zip(rows, *texts_of, strict=True):
        runs = sources.of_row(row)
        cells = [Cell(text, _lead(column, text, row, runs)) for column, text in zip(columns, texts, strict=True)]
        found.append((cells, runs))
    words = [f"{column.heading} {texts[0]}" for column, texts in alike]
    return Rows(heading, list(columns), found, len(columns) - len(alike), words)


def _says_the_same(column: Column, texts: Sequence[str]) -> bool:
    """Whether the column names all rows alike, so that it is said once, above them."""
    return column.naming and column.compact and len(texts) > 1 and len(set(texts)) == 1


def _lead(column: Column, text: str, row: Mapping[str, Any], runs: Sequence[str]) -> str | None:
    """Numbers that were measured lead somewhere; names, dashes and blanks do not."""
    measured = column.align == "right" and not column.naming and text not in {"", DASH}
    return of_cell(column, row, runs) if measured else None


def _facts(records: Sequence[Record]) -> Iterator[tuple[str, list[str]]]:
    """What the Runs are of: `(name, values)`, for the head of the page."""
    trained = [record for record in records if job(record) == "train"]
    for name, values in (
        ("Datasets", [value_of(record, "dataset") for record in trained]),
        ("Methods", [record.run.get("method") for record in records]),
        ("Backbones", [record.run.get("backbone") for record in records]),
        ("Measured on", [hardware_name(record) for record in records]),
        ("Commits", [record.commit[:10] if record.commit else None for record in records]),
    ):
        if known := sorted({one_line(str(value)) for value in values if value is not None}):
            yield name, known


def _sha256(text: str) -> str:
    """As a content security policy names a script or style that may be used."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
