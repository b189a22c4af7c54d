"""What stored records have to do with a plan, beyond answering its Runs: told in a line for each kind."""

from __future__ import annotations

from collections.abc import Iterable

from results.identity import predates_check
from results.record import Record


def unchecked(answers: Iterable[Record | None]) -> list[str]:
    """A line if some of these records, which answer Runs of a plan, predate the check of their data."""
    count = sum(record is not None and predates_check(record.run) for record in answers)
    if not count:
        return []
    done = "1 Run that is done predates" if count == 1 else f"{count} Runs that are done predate"
    return [f"{done} the check of images and class names: nobody knows whether the images were today's"]
