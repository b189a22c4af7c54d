"""How long Runs took against what was expected of them."""

from __future__ import annotations

import pytest

from reports.evidence import Evidence
from reports.tables.cost.estimates import estimates
from results.record import Estimate, Record, Source
from tests.helpers.fakes.fake_results import failed, profiled, trained


def expected(record: Record, seconds: float, source: Source) -> Record:
    return record.model_copy(update={"estimate": Estimate(seconds=seconds, source=source)})


def test_runs_are_compared_with_what_was_expected_by_source() -> None:
    records = [
        expected(trained("plain", 0), 300.0, "guess"),  # took 600 s
        expected(trained("plain", 1), 1200.0, "guess"),
        expected(trained("plain", 2), 500.0, "finished Runs"),
        expected(profiled("plain"), 30.0, "guess"),
    ]
    rows = {(row["source"], row["job"]): row for row in estimates(Evidence(records)).rows}
    assert rows.keys() == {("guess", "train"), ("finished Runs", "train"), ("guess", "profile")}
    guessed = rows["guess", "train"]
    assert (guessed["runs"], guessed["expected_minutes"], guessed["minutes"]) == (2, 25.0, 20.0)
    assert guessed["ratio"] == pytest.approx(1.0)
    assert (guessed["ratio_low"], guessed["ratio_high"]) == (0.5, 2.0)
    assert rows["finished Runs", "train"]["ratio"] == pytest.approx(1.2)


def test_a_run_that_failed_or_has_no_estimate_says_nothing() -> None:
    assert estimates(Evidence([trained("plain"), expected(failed("sef"), 10.0, "guess")])).rows == []
