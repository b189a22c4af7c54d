"""Where the numbers come from: code, versions, hardware, splits and weight files of all Runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pandas as pd

from reports.contents import Table
from reports.tables import columns
from results.record import Record
from results.settings import flat

MANY = 6
"""A fact with more values than this (a clock rate, a temperature) is counted, not listed."""


def provenance(records: Iterable[Record]) -> Table:
    """One row per fact and value, with the number of Runs it holds for."""
    counts = Counter(fact for record in records for fact in _facts(record))
    values_of = Counter((kind, name) for kind, name, _ in counts)
    rows: dict[tuple[str, str, str], int] = Counter()
    for (kind, name, value), runs in sorted(counts.items()):
        many = values_of[kind, name] > MANY
        rows[kind, name, f"{values_of[kind, name]} different values" if many else value] += runs
    frame = pd.DataFrame([{"kind": k, "name": n, "value": v, "runs": runs} for (k, n, v), runs in rows.items()])
    return Table("provenance", "Provenance", frame, columns.PROVENANCE_COLUMNS)


def _facts(record: Record) -> Iterator[tuple[str, str, str]]:
    """`(kind, name, value)`, each at most once per Run."""
    state = {True: "clean", False: "with uncommitted changes", None: "not known whether clean"}[record.clean]
    yield "code", f"commit {record.commit or 'unknown'}", state
    yield from (("version", name, version) for name, version in record.versions.items())
    yield from (("hardware", name, str(value)) for name, value in flat(record.hardware).items())
    if record.split:
        sizes = ", ".join(f"{key} {value}" for key, value in record.split.items() if isinstance(value, int))
        yield "split", str(record.run.get("dataset")), f"sha256 {record.split.get('sha256', 'unknown')} ({sizes})"
    for name, sha256 in {str(weight.get("file")): str(weight.get("sha256")) for weight in record.weights}.items():
        yield "weights", name, f"sha256 {sha256}"
