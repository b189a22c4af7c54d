"""How good the estimates were: how long Runs took, against what was expected before they began."""

from __future__ import annotations

from collections import defaultdict
from statistics import geometric_mean

from reports import cell_format
from reports.cell_format import SOURCES
from reports.contents import Table
from reports.evidence import Evidence
from results.record import Estimate, Record, Source


def estimates(evidence: Evidence) -> Table:
    """One row per source of estimates and kind of Run, over the finished Runs that have one."""
    together: dict[tuple[Source, str], list[tuple[Record, Estimate]]] = defaultdict(list)
    for record in evidence.records:
        if record.status == "done" and record.estimate is not None and record.seconds > 0:
            together[record.estimate.source, record.run.job].append((record, record.estimate))
    rows = [_row(source, job, together[source, job]) for source, job in sorted(together)]
    return Table("estimates", "Estimates of time", rows, COLUMNS, NOTE)


def _row(source: Source, job: str, several: list[tuple[Record, Estimate]]) -> dict[str, object]:
    ratios = [record.seconds / expected.seconds for record, expected in several]
    return {
        "source": source,
        "job": job,
        "runs": len(several),
        "expected_minutes": sum(expected.seconds for _, expected in several) / 60,
        "minutes": sum(record.seconds for record, _ in several) / 60,
        "ratio": geometric_mean(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        SOURCES: (tuple(record.id for record, _ in several),),
    }


COLUMNS = (
    cell_format.text("source", "estimated from", compact=True),
    cell_format.text("job", compact=True),
    cell_format.printed(cell_format.number("runs", "Runs", compact=True)),
    cell_format.printed(cell_format.number("expected_minutes", "expected, min", 1, compact=True)),
    cell_format.printed(cell_format.number("minutes", "taken, min", 1, compact=True)),
    cell_format.printed(cell_format.number("ratio", "taken / expected", 2, compact=True)),
    cell_format.number("ratio_low", "lowest", 2, compact=True),
    cell_format.number("ratio_high", "highest", 2, compact=True),
)
NOTE = (
    "Wall time of whole Runs against what was expected of each before it began: from finished Runs like it, from this "
    "device's profiles, or as a guess from counted work. Taken / expected is the geometric mean over Runs; 1 is right."
)
