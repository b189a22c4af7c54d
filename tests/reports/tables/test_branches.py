"""Classifiers within a method: each alone, beside the whole method on the same seeds."""

from __future__ import annotations

import pytest

from reports.evidence import Evidence
from reports.render import markdown
from reports.tables.branches import branches
from tests.helpers.fakes.fake_results import failed, trained


def test_each_classifier_has_a_row_over_the_seeds_that_measured_it() -> None:
    groups = [{"group 1": 0.5, "group 2": 0.7}, {"group 1": 0.6, "group 2": 0.7}]
    records = [trained("sef", seed, 0.8 + seed / 10, branches=found) for seed, found in enumerate(groups)]
    before = trained("sef", 2, 0.1)  # from before they were measured
    table = branches(Evidence([*records, before, failed("sef", 3), trained("plain")]))
    assert [(row["branch"], row["seeds"]) for row in table.rows] == [("group 1", 2), ("group 2", 2)]
    assert [row["top1"] for row in table.rows] == pytest.approx([55, 70])
    assert [row["whole"] for row in table.rows] == pytest.approx([85, 85])
    text = markdown.markdown(table)
    assert "55.0 ± 7.1" in text
    assert "85.0 ± 7.1" in text


def test_without_such_methods_there_is_no_row() -> None:
    assert branches(Evidence([trained("plain")])).rows == []
