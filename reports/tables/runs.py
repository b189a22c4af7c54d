"""Every Run with its accuracies, and provenance: code, versions, hardware, splits and weight files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from reports import cell_format
from reports.cell_format import SOURCES, percent
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import NAMED, hardware_name, named, selected
from results.identity import DRAWN, PREDATES
from results.record import SELECTIONS, Record, Selection
from results.settings import Run, flat

MANY = 6
"""A fact with more values than this (a clock rate, a temperature) is counted, not listed."""


def runs(evidence: Evidence) -> Table:
    """One row per Run, whatever became of it."""
    rows = []
    for record in evidence.records:
        settings = named(record.run)
        rows.append(
            {SOURCES: ((record.id,),), "run": record.id, "status": record.status, "job": record.run.job}
            | {key: settings[key] for key in (*NAMED, "seed")}
            | {selection: percent(_top1(record, selection)) for selection in SELECTIONS}
            | {"minutes": record.seconds / 60, "resumed": record.resumed, "commit": record.commit}
            | {"clean": record.clean, "hardware": hardware_name(record), "error": record.error}
        )
    return Table("runs", "Runs", sorted_rows(rows, ["run"]), RUN_COLUMNS)


def provenance(evidence: Evidence) -> Table:
    """One row per fact and value, with the number of Runs it holds for."""
    counts = Counter(fact for record in evidence.records for fact in _facts(record))
    values_of = Counter((kind, name) for kind, name, _ in counts)
    summed: Counter[tuple[str, str, str]] = Counter()
    for (kind, name, value), number in sorted(counts.items()):
        many = values_of[kind, name] > MANY
        summed[kind, name, f"{values_of[kind, name]} different values" if many else value] += number
    rows = [{"kind": kind, "name": name, "value": value, "runs": n} for (kind, name, value), n in summed.items()]
    return Table("provenance", "Provenance", rows, PROVENANCE_COLUMNS)


def _top1(record: Record, selection: Selection) -> float | None:
    found = selected(record, selection)
    return found.top1 if found else None


def _facts(record: Record) -> Iterator[tuple[str, str, str]]:
    """`(kind, name, value)`, each at most once per Run."""
    state = {True: "clean", False: "with uncommitted changes", None: "not known whether clean"}[record.clean]
    yield "code", f"commit {record.commit or 'unknown'}", state
    yield from (("version", name, version) for name, version in record.versions.items())
    yield from (("hardware", name, str(value)) for name, value in flat(record.hardware).items())
    if record.split and isinstance(record.run, Run):
        sizes = ", ".join(f"{key} {value}" for key, value in record.split.items() if isinstance(value, int))
        yield "split", record.run.dataset, f"sha256 {record.split.get('sha256', 'unknown')} ({sizes})"
    if isinstance(record.run, Run) and record.run.dataset not in DRAWN:
        sha256 = record.run.images_sha256
        yield "images", record.run.task, PREDATES if sha256 is None else f"sha256 {sha256}"
    for name, sha256 in {str(weight.get("file")): str(weight.get("sha256")) for weight in record.weights}.items():
        yield "weights", name, f"sha256 {sha256}"


RUN_COLUMNS = (
    cell_format.text("run", compact=True),
    cell_format.text("status", compact=True),
    *(cell_format.text(key) for key in ("job", "dataset", "protocol", "method", "variant", "backbone")),
    cell_format.number("seed", "seed"),
    cell_format.number("last", "top-1 last epoch, %", 1, compact=True),
    cell_format.number("validation", "validation-selected, %", 1),
    cell_format.number("best_on_test", "best on test, %", 1),
    cell_format.number("minutes", "minutes", 1, compact=True),
    cell_format.number("resumed", "resumed"),
    cell_format.text("commit"),
    cell_format.yes_no("clean", "clean"),
    cell_format.text("hardware"),
    cell_format.text("error", compact=True),
)
PROVENANCE_COLUMNS = (
    cell_format.text("kind", compact=True),
    cell_format.text("name", compact=True),
    cell_format.text("value", compact=True),
    cell_format.number("runs", "Runs", compact=True),
)
