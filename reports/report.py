"""One folder with everything: pages to read, a CSV per table to compute with, LaTeX and figures to publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reports.contents import FORMATS, Format, Report, SavedFigure, Table
from reports.evidence import Evidence
from reports.figures.draw import start_drawing
from reports.figures.select import drawings, first_of_each_kind
from reports.names import IDS, Names
from reports.render import markdown
from reports.render.chapters import ALWAYS, GALLERIES, RUNS, chapters
from reports.render.html import write_page
from reports.render.html_data import PageData, page_data
from reports.render.latex import document, latex
from reports.run_files import RunFiles, galleries
from reports.summary import summary, untrusted
from reports.tables.missing import condensed, with_unreadable, without
from reports.tables.table_registry import build_tables
from results.device_check import FOLDER as DEVICE_CHECKS
from results.files import make_folder, sweep, write_whole
from results.integrity import RECORD
from results.record import Record
from results.store import ResultStore
from results.values.text import in_a_row
from results.values.text_tables import WIDTH

PAGE = "report.md"
FIGURES = "figures"
MOST = 6
"""Figures of one kind. People look at no more, and each takes about half a second."""
TERMINAL = (
    "paper",
    "ablation",
    "head_to_head",
    "averages",
    "backbones",
    "paired",
    "localisation",
    "profile",
    "estimates",
)
"""Tables worth printing."""


def write_report(
    store: ResultStore,
    folder: Path,
    title: str,
    records: Sequence[Record] | None = None,
    formats: Sequence[Format] = FORMATS,
    names: Names = IDS,
) -> Report:
    """Writes the report on `records` (default: all of the store) into `folder`, which is made if need be.

    Only files of these `formats` are written, and figures unless tables as CSV alone are asked for. People read `names`
    in the place of ids; CSV files and the names of files keep the ids.

    Raises `results.errors.ResultsError` if a file can't be written. A record, history or predictions that can't be read
    or trusted are left out: the table of what is missing names them, and so does `Report.left_out`.
    """
    records = store.records() if records is None else records
    make_folder(folder, FIGURES, "--out")
    sweep(folder)
    files = RunFiles(store, records)
    device_checks, damaged_checks = store.device_checks()
    evidence = Evidence(records, files.predictions, device_checks, names)
    tables = build_tables(evidence)
    left_out = {(run_id, RECORD): reason for run_id, reason in store.left_out.items()} | files.damaged
    left_out |= {(DEVICE_CHECKS, name): reason for name, reason in damaged_checks.items()}
    tables["missing"] = with_unreadable(tables["missing"], left_out)
    possible = list(drawings(evidence, tables, files.history)) if {*formats} != {"csv"} else []
    chosen = list(first_of_each_kind(possible, MOST))
    sentences = (*summary(records, tables, names), *untrusted(len(left_out)), *_not_drawn(len(possible) - len(chosen)))
    shown = tuple(galleries(records, store, folder))
    for name, table in tables.items():
        if "csv" in formats:
            _write(folder / f"{name}.csv", markdown.csv(table))
        if "latex" in formats:
            _write(folder / f"{name}.tex", latex(table))
    finish = start_drawing(chosen, folder / FIGURES)
    # Takes as long as many figures, which other processes draw meanwhile.
    data = page_data(records, files, names) if "html" in formats else PageData()
    report = Report(title, folder / PAGE, tables, finish(), sentences, shown, left_out, formats, names)
    if "md" in formats:
        _write(report.page, "\n\n".join(_page(report)) + "\n")
    if "latex" in formats:
        _write(report.document, document(name for name, table in tables.items() if table.rows))
    if "html" in formats:
        write_page(report, records, data)
    return report


def terminal_tables(report: Report, width: int = WIDTH) -> list[str]:
    """The summary and the tables worth printing, each a text at most `width` wide unless a name is wider.

    Plain text: whoever prints it with rich has to switch its markup off.
    """
    shown = [report.tables[name] for name in TERMINAL]
    shown.append(condensed(without(report.tables["missing"], report.left_out)))  # whoever prints it has these in full
    texts = [markdown.terminal(part, width) for table in shown if table.rows for _, part in table.parts()]
    return ["\n".join(in_a_row(sentence) for sentence in report.summary), *texts]


def _page(report: Report) -> Iterator[str]:
    yield f"# {markdown.markdown_text(report.title)}"
    yield "\n".join(f"- {markdown.markdown_text(sentence)}" for sentence in report.summary)
    if report.opening:
        yield _image(report.opening)
    tables = [name for name, table in report.tables.items() if name in ALWAYS or table.rows]
    for chapter in chapters(tables, [*report.figures, *([GALLERIES] if report.galleries else [])], report.empty):
        yield f"## {chapter.title}\n\n{chapter.question}"
        for name in chapter.tables:
            if name in tables and name != RUNS:  # it has a row per Run
                yield from _table_parts(report.tables[name], chapter.hint, report.formats)
        figures = (figure for kind in chapter.figures for figure in report.figures.get(kind, []))
        yield from (_image(figure) for figure in figures if figure is not report.opening)
        if GALLERIES in chapter.figures and report.galleries:
            links = (f"[{markdown.markdown_text(name)}](<{path}>)" for name, path in report.galleries)
            yield f"Galleries of test images: {'; '.join(links)}."
    if "csv" in report.formats:
        yield "Every Run with its status: [runs.csv](runs.csv)."


def _table_parts(table: Table, hint: str, formats: Sequence[Format]) -> Iterator[str]:
    yield f"### {markdown.markdown_text(table.title)}"
    if not table.rows:
        yield f"{markdown.NOTHING} `python {hint}` measures it." if hint else markdown.NOTHING
        return
    for heading, part in table.parts():
        if heading:
            yield f"#### {markdown.markdown_text(heading)}"
        # A page has no room for all columns; where they are beside it, it shows those that matter most.
        columns = tuple(column for column in part.columns if column.compact or column.printed or "csv" not in formats)
        yield markdown.markdown(replace(part, columns=columns or part.columns))
    told = (("csv", "All columns, unrounded", ".csv"), ("latex", "For a paper", ".tex"))
    links = [f"{what}: [{table.name}{end}]({table.name}{end})." for name, what, end in told if name in formats]
    if note := " ".join(filter(None, [table.note, *links])):
        yield note
    if table.meanings:
        yield "\n".join(
            f"- {markdown.markdown_text(heading)}: {markdown.markdown_text(meaning)}."
            for heading, meaning in table.meanings
        )


def _image(figure: SavedFigure) -> str:
    """The figure, its title and caption, and links to it in formats for a paper."""
    file = {path.suffix: f"{FIGURES}/{path.name}" for path in figure.paths}
    title, caption = markdown.markdown_text(figure.title), markdown.markdown_text(figure.caption)
    links = f"[{title} as SVG]({file['.svg']}), [as PDF]({file['.pdf']}), [caption]({file['.txt']})"
    return "\n\n".join(filter(None, [f"![{title}]({file['.png']})", f"**{title}.** {caption}".strip(), links]))


def _not_drawn(figures: int) -> Iterator[str]:
    if figures:
        yield (
            f"{figures} more figures can be drawn; a report has at most {MOST} of a kind. "
            "run_all.py report --only dataset=NAME draws those of some Runs."
        )


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"), option="--out")
