"""Reports as a test sees them: the rows of a table, the texts of a figure, the content of the HTML page."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reports.contents import Table
from reports.evidence import Evidence
from reports.figures.looks import Look, Looks
from reports.figures.select import drawings
from reports.predictions import PredictionCache
from reports.render.readme_blocks import render_readme
from reports.tables.table_registry import build_tables
from results.record import Record
from results.store import ResultStore


def evidence_of(store: ResultStore, records: Iterable[Record] | None = None) -> Evidence:
    """The store's records, or these, with their predictions."""
    return Evidence(store.records() if records is None else records, PredictionCache(store.prediction_table))


def answer(page: Path, store: ResultStore, asked: str) -> str:
    """What a README block with this question is filled in with."""
    page.write_text(f"before\n<!-- answer: {asked} -->\nold\n<!-- /answer -->\nafter\n")
    text = render_readme(page, store)
    begin, end = f"before\n<!-- answer: {asked} -->\n", "\n<!-- /answer -->\nafter\n"
    assert text.startswith(begin)
    assert text.endswith(end)
    return text[len(begin) : -len(end)]


def column(table: Table, key: str) -> list[Any]:
    """The table's values below a column's name."""
    return [row[key] for row in table.rows]


def drawn(figure: Figure | None) -> Figure:
    """The figure, which must be there."""
    assert figure is not None
    return figure


def looks_of(*methods: str) -> list[Look]:
    """The looks of whole methods in a report on them alone."""
    return Looks.of((method, "paper") for method in methods).together([(method, "paper") for method in methods])


def only_row(table: Table) -> dict:
    (row,) = table.rows
    return row


def shown(table: Table, heading: str) -> list[str]:
    (column,) = [column for column in table.columns if column.heading == heading]
    return [column.show(row) for row in table.rows]


def texts(figure: Figure) -> str:
    """All text of the figure."""
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in found)


def asked_of(store: ResultStore) -> dict[str, list]:
    """The drawings of the store's records, by kind."""
    found: dict[str, list] = {}
    evidence = evidence_of(store)
    for drawing in drawings(evidence, build_tables(evidence), store.history_columns):
        found.setdefault(drawing.kind, []).append(drawing)
    return found


VOID = {"meta", "input", "img", "br", "link", "hr"}


class PageReader(HTMLParser):
    """Reads one page; raises `AssertionError` for a tag that is closed but not open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self.links: list[tuple[str, str]] = []
        """Text and address."""
        self.rows: dict[str, list[dict[str, tuple[str, str]]]] = {}
        """Table's anchor -> its rows, as heading -> (text, address or "")."""
        self.strong: list[str] = []
        """What is in bold in tables."""
        self._open: list[str] = []
        self._anchor = ""
        self._headings: list[str] = []
        self._cells: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self._open

    @property
    def text(self) -> str:
        """What is to be read, in order."""
        return " ".join("".join(self.words).split())

    @property
    def data(self) -> dict[str, Any]:
        """The records behind the numbers."""
        return json.loads(zlib.decompress(base64.b64decode(self.scripts[0])))

    def record(self, run_id: str) -> dict[str, list[list[str]]]:
        """Title -> rows of the tables that the page shows of a Run."""
        parts = self.data["parts"]
        return {parts[place]["title"]: parts[place]["rows"] for place in self.data["runs"][run_id]["parts"]}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag not in VOID:
            self._open.append(tag)
        if values.get("id", "").startswith("table-"):
            self._anchor = values["id"].removeprefix("table-")
        if tag == "a":
            self.links.append(("", values.get("href", "")))
            if self._cells:
                self._cells[-1] = ("", values.get("href", ""))
        elif tag in {"th", "td"} and "tbody" in self._open:
            self._cells.append(("", ""))
        elif tag == "thead":
            self._headings = []
        elif tag == "th":
            self._headings.append("")
        elif tag == "strong" and self._cells:
            self.strong.append("")
        elif tag in {"script", "style"}:
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "tr" and self._cells:
            row = dict(zip(self._headings, self._cells, strict=True))
            self.rows.setdefault(self._anchor, []).append(row)
            self._cells = []

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[-1] += data
        elif "style" in self._open:
            self.styles[-1] += data
        else:
            self.words.append(data)
            if "strong" in self._open and self._cells:
                self.strong[-1] += data
            if "a" in self._open:
                self.links[-1] = (self.links[-1][0] + data, self.links[-1][1])
            if self._cells:
                self._cells[-1] = (self._cells[-1][0] + data, self._cells[-1][1])
            elif self._open and self._open[-1] == "th":
                self._headings[-1] += data
