"""One folder with everything: `report.md` to read, a CSV per table to compute with, figures to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from reports import cell_format
from reports.contents import Report, SavedFigure, Table
from reports.figures.draw import draw_all
from reports.figures.select import drawings
from reports.render import markdown
from reports.render.chapters import ALWAYS, GALLERIES, chapters
from reports.render.html import write_page
from reports.render.latex import latex
from reports.run_files import RunFiles
from reports.tables.head_to_head import whole_methods
from reports.tables.localisation import galleries
from reports.tables.missing import condensed, with_damaged
from reports.tables.sections import sections
from reports.tables.table_registry import build_tables
from results.record import Record
from results.store import ResultStore, make_folder, write_whole

PAGE = "report.md"
FIGURES = "figures"
RUNS = "runs"
"""The table that `report.md` names and does not show: it has a row per Run."""
TERMINAL = ("paper", "ablation", "head_to_head", "averages", "paired", "localisation", "profile")
"""Tables worth printing."""


def write_report(
    store: ResultStore,
    folder: Path,
    title: str,
    records: Sequence[Record] | None = None,
) -> Report:
    """Writes the report on `records` (default: all of the store) into `folder`, which is made if need be.

    Raises `results.store.ResultsError` if a record can't be read or a file can't be written. A history or predictions
    that can't be read are missing, and the table of what is missing says so.
    """
    records = store.records() if records is None else records
    make_folder(folder / FIGURES, "--out")
    files = RunFiles(store, records)
    built = build_tables(records, files.predictions)
    built["missing"] = with_damaged(built["missing"], files.damaged)
    figures = draw_all(drawings(records, built, files.predictions, files.history), folder / FIGURES)
    shown = tuple(galleries(records, store, folder))
    report = Report(title, folder / PAGE, built, figures, tuple(_summary(records, built)), shown)
    for name, table in built.items():
        _write(folder / f"{name}.csv", markdown.csv(table))
        _write(folder / f"{name}.tex", latex(table))
    _write(report.page, "\n\n".join(_page(report)) + "\n")
    write_page(report, records, files)
    return report


def terminal_tables(report: Report) -> list[str]:
    """The summary and the tables worth printing, each a text at most `formats.WIDTH` wide.

    Plain text: a printer that reads markup (rich) has to be told that this is none.
    """
    shown = [report.tables[name] for name in TERMINAL]
    shown.append(condensed(report.tables["missing"]))
    texts = [markdown.terminal(part) for table in shown for _, part in sections(table) if not table.frame.empty]
    return ["\n".join(markdown.one_line(sentence) for sentence in report.summary), *texts]


def _page(report: Report) -> Iterator[str]:
    yield f"# {markdown.markdown_text(report.title)}"
    yield "\n".join(f"- {markdown.markdown_text(sentence)}" for sentence in report.summary)
    for chapter in chapters(report.tables, [*report.figures, *([GALLERIES] if report.galleries else [])]):
        yield f"## {chapter.title}\n\n{chapter.question}"
        for table in (report.tables[name] for name in chapter.tables if name != RUNS):
            if table.name in ALWAYS or not table.frame.empty:
                yield from _table_parts(table, chapter.hint)
        yield from (_image(figure) for kind in chapter.figures for figure in report.figures.get(kind, []))
        if GALLERIES in chapter.figures:
            links = (f"[{markdown.markdown_text(name)}](<{path}>)" for name, path in report.galleries)
            yield f"Galleries of test images: {'; '.join(links)}."
    yield "Every Run with its status: [runs.csv](runs.csv)."


def _table_parts(table: Table, hint: str) -> Iterator[str]:
    yield f"### {markdown.markdown_text(table.title)}"
    if table.frame.empty:
        yield f"{markdown.NOTHING} `python {hint}` measures it." if hint else markdown.NOTHING
        return
    for heading, part in sections(table):
        if heading:
            yield f"#### {markdown.markdown_text(heading)}"
        yield markdown.markdown(part)
    csv, tex = (f"[{table.name}{suffix}]({table.name}{suffix})" for suffix in (".csv", ".tex"))
    yield f"{table.note} All columns, unrounded: {csv}; for a paper: {tex}.".strip()


def _image(figure: SavedFigure) -> str:
    png, svg, pdf = (
        next(path for path in figure.paths if path.suffix == suffix) for suffix in (".png", ".svg", ".pdf")
    )
    alt = markdown.markdown_text(figure.title)
    return f"![{alt}]({FIGURES}/{png.name})\n\n[{alt} as SVG]({FIGURES}/{svg.name}), [as PDF]({FIGURES}/{pdf.name})"


def _summary(records: Sequence[Record], built: dict[str, Table]) -> Iterator[str]:
    if not records:
        yield "There is nothing yet: the results folder holds no finished or failed Run."
        return
    states = Counter(record.status for record in records)
    yield f"{len(records)} Runs: {states['done']} done, {states['failed']} failed."
    head = built["head_to_head"].frame
    for arena, rows in head.groupby("arena") if not head.empty else ():
        known = whole_methods(rows).dropna(subset="last_top1")
        if known.empty:
            yield f"{arena}: no accuracy yet."
            continue
        best = {str(key): value for key, value in known.sort_values("last_top1").iloc[-1].to_dict().items()}
        accuracy = cell_format.estimate("last_top1", "").show(best)
        name = " ".join(str(best[key]) for key in ("method", "variant"))
        yield f"{arena}: highest last-epoch top-1 in %: {accuracy}, {name} (of {len(known)} with an accuracy)."
    pairs = built["paired"].frame
    if not pairs.empty:
        tested = pairs["better"].dropna()
        decided = int((tested != cell_format.NEITHER).sum())
        if len(tested):
            yield f"{decided} of {len(tested)} pairs differ at 5 % after Holm's correction."
        if untested := len(pairs) - len(tested):
            yield f"{untested} pair{'s' if untested > 1 else ''} could not be tested; the table of pairs says why."
    if not built["missing"].frame.empty:
        reasons = built["missing"].frame["reason"].nunique()
        yield f"Values are missing for {reasons} reason{'s' if reasons > 1 else ''}, listed below."


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
