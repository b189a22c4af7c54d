"""What `data verify` and `data fetch` say of a dataset: a verdict, then one row for each kind of fault or note; and
what `data split` has done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.cli.views import terminal
from benchmarks.cli.views.terminal import line
from datasets.curation.findings import Finding, Findings, by_kind
from datasets.curation.split import Split
from results.values.names import shortened
from results.values.text import counted, spaced
from results.values.text_tables import TextColumn

EXAMPLES = 3
"""Sentences shown of each kind."""


def show_findings(found: Findings, every: bool = False) -> None:
    """Prints the verdict, a small table, and the split; with `every`, each fault and note on a line before them."""
    if every:
        for finding in (*found.faults, *found.notes):
            line(f"{finding.kind}: {finding.what}")
    line(verdict(found))
    if found.faults or found.notes:
        terminal.print_table(_columns(found))
    line(f"{spaced(found.classes)} classes, {spaced(found.train)} train, {spaced(found.test)} test")
    line(f"split {found.split_sha256[:16]}, {found.reference}")
    kinds = by_kind((*found.faults, *found.notes)).values()
    if not every and any(len(sentences) > EXAMPLES for sentences in kinds):
        line(f"all of them: run_all.py data verify {found.name} --all")


def verdict(found: Findings) -> str:
    """One line: ready or not, and how much was looked at."""
    images = f"{spaced(found.images)} images"
    notes = f", {counted(len(found.notes), 'note')}" if found.notes else ""
    if not found.faults:
        return f"{found.name}: ready{notes}; {images}"
    return f"{found.name}: {counted(len(found.faults), 'fault')} in {images}{notes}"


def split_lines(name: str, done: Split) -> list[str]:
    """What `data split` has written, and what to do next."""
    train, test = done.train.total(), done.test.total()
    least, most = min(done.test.values()), max(done.test.values())
    each = f"{least} to {most}" if least < most else least
    found = [
        f"{done.table}: {counted(len(done.train), 'class', 'es')}, {spaced(train)} train, {spaced(test)} test "
        f"({100 * test / (train + test):.1f} %; {each} of each class)"
    ]
    if done.copies:
        found.append(f"{spaced(done.copies)} images are copies of each other; all copies of one are on the same side")
    if done.in_two_classes:
        shown = shortened(done.in_two_classes)
        found.append(f"{counted(len(done.in_two_classes), 'image')} in two classes at once, kept for training: {shown}")
    return [*found, f"next: run_all.py data verify {name}, then run_all.py compare --dataset {name} ..."]


def _columns(found: Findings) -> list[TextColumn]:
    rows = [*_rows(found.faults, found.folder), *_rows(found.notes, found.folder, "note: ")]
    kinds, counts, examples = zip(*rows, strict=True)
    return [TextColumn("kind", kinds), TextColumn("count", counts, right=True), TextColumn("for example", examples)]


def _rows(findings: Sequence[Finding], folder: str | None, prefix: str = "") -> Iterable[tuple[str, str, str]]:
    """Kind, count and the first few sentences, with paths as below the dataset's folder; what to do is said once."""
    for kind, sentences in by_kind(findings).items():
        shown = [one.replace("\n", "\\n") for one in sentences[:EXAMPLES]]
        shown = [one.replace(f"{folder}/", "") if folder else one for one in shown]
        shown[1:] = [one.partition("; ")[0] for one in shown[1:]]
        yield f"{prefix}{kind}", spaced(len(sentences)), "\n".join(shown)
