"""One folder with everything: `report.md` to read, a CSV per table to compute with, figures to publish."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from reports import cells, figures, formats, profiles, tables
from reports.ablation import ablation, steps
from reports.answers import COLUMNS, Answers
from reports.averages import averages
from reports.groups import arenas, groups
from reports.localisation import galleries, localisation, part_hits
from reports.missing import condensed, missing
from reports.paired import paired
from reports.provenance import provenance
from reports.sections import sections
from reports.tables import Table
from reports.wins import wins
from results.record import Record
from results.store import ResultStore, write_whole

PAGE = "report.md"
FIGURES = "figures"
TERMINAL = ("paper", "ablation", "head_to_head", "averages", "paired", "localisation", "profile")
"""Tables worth printing."""


@dataclass(frozen=True)
class Picture:
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
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    """`throughput` and `curves`."""
    summary: tuple[str, ...] = ()
    """Sentences, plain text."""
    galleries: tuple[tuple[str, str], ...] = ()
    """Name of each gallery of what a Run attends to, and its path as seen from the page's folder."""

    @property
    def paths(self) -> list[Path]:
        """Every file of the report, the page first."""
        pictures = [path for several in self.pictures.values() for picture in several for path in picture.paths]
        return [self.page, *(self.page.parent / f"{name}.csv" for name in self.tables), *pictures]


def build_tables(records: Sequence[Record], store: ResultStore) -> dict[str, Table]:
    """Every table by its name. Predictions are read only where two experiments can be compared."""
    answers = Answers(partial(store.predictions, columns=COLUMNS))
    head, pairs = tables.head_to_head(records, answers), paired(records, answers)
    every = [
        tables.paper(records, answers),
        ablation(records, answers),
        steps(records, answers),
        head,
        averages(records),
        wins(pairs),
        pairs,
        localisation(records),
        part_hits(records),
        *profiles.tables(records),
        missing(records, head, pairs),
        provenance(records),
        tables.runs(records),
    ]
    return {table.name: table for table in every}


def write_report(store: ResultStore, folder: Path, title: str, records: Sequence[Record] | None = None) -> Report:
    """Writes the report on `records` (default: all of the store) into `folder`, which is made if need be.

    Raises `results.store.ResultsError` if a record can't be read or a file can't be written.
    """
    records = store.records() if records is None else records
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    built = build_tables(records, store)
    stems = _stems()
    pictures = {
        "throughput": _saved(_throughput_figures(built["head_to_head"]), "throughput", folder / FIGURES, stems),
        "curves": _saved(_curve_figures(records, store), "curves", folder / FIGURES, stems),
    }
    sights = tuple(galleries(records, store, folder))
    report = Report(title, folder / PAGE, built, pictures, tuple(_summary(records, built)), sights)
    for name, table in built.items():
        _write(folder / f"{name}.csv", formats.csv(table))
    _write(report.page, "\n\n".join(_page(report)) + "\n")
    return report


def terminal_tables(report: Report) -> list[str]:
    """The summary and the tables worth printing, each a text at most `formats.WIDTH` wide.

    Plain text: a printer that reads markup (rich) has to be told that this is none.
    """
    shown = [report.tables[name] for name in TERMINAL]
    shown.append(condensed(report.tables["missing"]))
    texts = [formats.terminal(part) for table in shown for _, part in sections(table) if not table.frame.empty]
    return ["\n".join(formats.one_line(sentence) for sentence in report.summary), *texts]


def _page(report: Report) -> Iterator[str]:
    averaged, looked = (not report.tables[name].frame.empty for name in ("averages", "localisation"))
    yield f"# {formats.markdown_text(report.title)}"
    yield "\n".join(f"- {formats.markdown_text(sentence)}" for sentence in report.summary)
    for heading, names, kind in (
        ("Reproduce: paper against ours", ("paper",), None),
        ("Reproduce: ablations", ("ablation",), None),
        ("Compare: head to head", ("head_to_head",), "throughput"),
        *([("Compare: averages over subsets", ("averages",), None)] if averaged else []),
        ("Compare: paired tests", ("paired",), "curves"),
        *([("See: what each attends to", ("localisation", "part_hits"), "galleries")] if looked else []),
        ("Profile: what each costs", ("profile", "parts", "operations"), None),
        ("What is missing", ("missing",), None),
        ("Provenance", ("provenance",), None),
    ):
        yield f"## {heading}"
        for name in names:
            yield from _table_parts(report.tables[name])
        yield from (_image(picture) for picture in report.pictures.get(kind or "", []))
        if kind == "galleries" and report.galleries:
            links = [f"[{formats.markdown_text(name)}](<{path}>)" for name, path in report.galleries]
            yield f"Galleries of test images: {'; '.join(links)}."
    yield "Every Run with its status: [runs.csv](runs.csv)."


def _table_parts(table: Table) -> Iterator[str]:
    for heading, part in sections(table):
        if heading:
            yield f"### {formats.markdown_text(heading)}"
        yield formats.markdown(part)
    if not table.frame.empty:
        yield f"{table.note} All columns, unrounded: [{table.name}.csv]({table.name}.csv).".strip()


def _image(picture: Picture) -> str:
    png, svg = (next(path for path in picture.paths if path.suffix == suffix) for suffix in (".png", ".svg"))
    alt = formats.markdown_text(picture.title)
    return f"![{alt}]({FIGURES}/{png.name})\n\n[{alt} as SVG]({FIGURES}/{svg.name})"


def _summary(records: Sequence[Record], built: dict[str, Table]) -> Iterator[str]:
    if not records:
        yield "There is nothing yet: the results folder holds no finished or failed Run."
        return
    states = Counter(record.status for record in records)
    yield f"{len(records)} Runs: {states['done']} done, {states['failed']} failed."
    for heading, part in sections(built["head_to_head"]):
        known = part.frame.dropna(subset="last_top1") if not part.frame.empty else part.frame
        if known.empty:
            yield f"{heading or 'Training'}: no accuracy yet."
            continue
        best = known.iloc[0].to_dict()
        accuracy = cells.estimate("last_top1", "").show({str(key): value for key, value in best.items()})
        names = " ".join(str(best[key]) for key in ("method", "variant", "backbone"))
        yield f"{heading}: highest last-epoch top-1 in %: {accuracy}, {names} (of {len(known)} with an accuracy)."
    pairs = built["paired"].frame
    if not pairs.empty:
        decided = int(pairs["better"].notna().sum() - (pairs["better"] == "neither").sum())
        yield f"{decided} of {len(pairs)} pairs differ at 5 % after Holm's correction."
    if not built["missing"].frame.empty:
        yield f"{len(built['missing'].frame)} values are missing; the reasons are listed below."


def _throughput_figures(head: Table) -> Iterator[tuple[str, Figure]]:
    """Like the curves, a figure for each number of epochs where all methods share one."""
    if head.frame.empty:
        return
    budget = head.frame["epochs"].where(head.frame["protocol"] == "common")
    for (dataset, protocol, epochs), rows in head.frame.groupby(["dataset", "protocol", budget], dropna=False):
        heading = f"{dataset}, {protocol} recipe" + ("" if cells.absent(epochs) else f", epochs: {epochs:g}")
        if figure := figures.accuracy_against_throughput(rows, heading):
            yield f"Accuracy against throughput: {heading}", figure


def _curve_figures(records: Sequence[Record], store: ResultStore) -> Iterator[tuple[str, Figure]]:
    for arena, members in arenas(groups(records)).items():
        done = [group for group in members if group.done]
        parts = range(0, len(done), figures.CURVES)
        for number, start in enumerate(parts, 1):
            heading = f"{arena}" + (f" ({number} of {len(parts)})" if len(parts) > 1 else "")
            figure = figures.training_curves(done[start : start + figures.CURVES], store.history, heading)
            if figure:
                yield f"Training curves: {heading}", figure


def _saved(
    drawn: Iterable[tuple[str, Figure]], kind: str, folder: Path, stem_of: Callable[[str], str]
) -> list[Picture]:
    return [
        Picture(title, tuple(figures.save(figure, folder, stem_of(f"{kind} {title.partition(': ')[2]}"))))
        for title, figure in drawn
    ]


def _stems() -> Callable[[str], str]:
    """A function from any words to a file name that is plain, short and not yet taken."""
    taken: Counter[str] = Counter()

    def stem_of(words: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
        taken[stem] += 1
        return stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"

    return stem_of


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
