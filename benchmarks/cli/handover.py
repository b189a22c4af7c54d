"""What a verb returns for `run_all.py` to show in tables, which only `reports` can make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FinishedPlan:
    """A plan that was carried out, as far as it went."""

    title: str
    """Heading of its report."""
    results: Path
    """Folder of the results."""
    runs: frozenset[str]
    """Ids of all Runs of the plan."""
    failed: int
    unfinished: int
    """Runs that were left when the time was up."""


@dataclass(frozen=True)
class TwoMeasurements:
    """Two results folders whose profiles are to be compared."""

    before: Path
    after: Path
