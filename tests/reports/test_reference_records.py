"""The committed records: what they must show whatever was measured."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from results.record import Record
from results.settings import Run
from results.store import REFERENCE, ResultStore

ROOT = Path(__file__).parents[2]
TIMES_CHANCE = 4.0


@pytest.fixture(scope="module")
def quick() -> dict[str, list[Record]]:
    """The finished trainings on drawn birds, by method."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in ResultStore(ROOT / "results" / REFERENCE).records():
        if isinstance(record.run, Run) and record.run.dataset == "synthetic" and record.status == "done":
            found[record.run.method].append(record)
    return found


def test_every_record_has_the_id_that_todays_settings_give_it() -> None:
    """Else it would be measured again, and its next seed would stand in another row."""
    store = ResultStore(ROOT / "results" / REFERENCE)
    records = store.records()
    assert len(records) == len(list(store.root.glob("*/record.json")))  # none is left out for its settings
    for record in records:
        run = record.run
        assert (record.id, record.hash, record.experiment) == (run.id, run.hash, run.experiment)


def test_every_method_with_records_learns_the_drawn_birds_on_two_seeds(quick: dict[str, list[Record]]) -> None:
    """A new method has no records yet, and needs none here."""
    assert quick
    for method, records in quick.items():
        assert len({record.run.replicate for record in records}) >= 2, method
        for record in records:
            assert record.metrics["last"].top1 > TIMES_CHANCE / record.split["classes"], record.id
