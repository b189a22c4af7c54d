"""Further predictions of one training: beside its headline, and beside the published rows that they answer."""

from __future__ import annotations

from typing import Any

import pytest

from reports.evidence import Evidence
from reports.render import markdown
from reports.tables.ablation import ablation
from reports.tables.head_to_head import head_to_head
from reports.tables.published import published
from reports.tables.readouts import OWN, readouts
from results.record import ReadOut, Record
from tests.helpers.fakes.fake_results import trained

WHOLE = {"value": 84.0, "table": "Table 1", "answered_by": {"variant": "paper"}}
EIGHT = {"value": 85.0, "table": "Table 1", "answered_by": {"variant": "paper", "readout": "eight views"}}


def readout(top1: float, views: int = 8) -> ReadOut:
    values: dict[str, Any] = {"epoch": 10, "top5": 0.99, "mean_class": top1, "calibration_error": 0.1, "log_loss": 0.5}
    return ReadOut(top1=top1, views=views, **values)


def two_seeds(**changes: Any) -> list[Record]:
    scored = [{"eight views": readout(0.82), "one view": readout(0.79, 1)}, {"eight views": readout(0.86)}]
    return [trained("ws_dan", seed, 0.8 + seed / 50, readouts=one, **changes) for seed, one in enumerate(scored)]


def test_each_readout_has_a_row_over_the_seeds_that_scored_it_and_its_difference_to_the_headline() -> None:
    before = trained("ws_dan", 2, 0.1)  # from before they were scored
    table = readouts(Evidence([*two_seeds(), before, trained("plain")]))
    assert [(row["readout"], row["views"], row["seeds"]) for row in table.rows] == [
        (OWN, 1, 2),
        ("eight views", 8, 2),
        ("one view", 1, 1),
    ]
    assert [row["top1"] for row in table.rows] == pytest.approx([81, 84, 79])
    assert [row["difference"] for row in table.rows] == [None, pytest.approx(3), pytest.approx(-1)]
    text = markdown.markdown(table)
    assert "84.0 ± 2.8" in text
    assert "+3.0" in text


def test_a_published_row_of_a_readout_stands_beside_that_readout_and_its_passes() -> None:
    table = published(Evidence(two_seeds(published=[WHOLE, EIGHT])))
    rows = {row["readout"]: row for row in table.rows}
    assert (rows[None]["last_top1"], rows[None]["difference"], rows[None]["views"]) == (
        pytest.approx(81),
        pytest.approx(-3),
        1,
    )
    eight = rows["eight views"]
    assert (eight["last_top1"], eight["difference"], eight["views"]) == (pytest.approx(84), pytest.approx(-1), 8)
    assert eight["seeds"] == eight["last_top1_n"] == 2
    assert eight["best_on_test_top1"] is None, "a read-out is scored with the last weights alone"
    assert eight["covered"] is True
    text = markdown.markdown(table)
    assert "84.0 ± 2.8" in text


def test_a_run_from_before_readouts_has_no_value_beside_such_a_row() -> None:
    table = published(Evidence([trained("ws_dan", published=[EIGHT])]))
    (row,) = table.rows
    assert (row["last_top1"], row["difference"], row["covered"], row["seeds"]) == (None, None, None, 0)
    assert "85.0" in markdown.markdown(table)


def test_other_tables_keep_to_the_headline() -> None:
    evidence = Evidence([*two_seeds(published=[WHOLE, EIGHT]), trained("ws_dan", variant="no_crop")])
    first = next(row for row in head_to_head(evidence).rows if row["variant"] == "paper")
    assert first["last_top1"] == pytest.approx(81)
    whole = next(row for row in ablation(evidence).rows if row["variant"] == "paper")
    assert whole["published"] == "84.0 (Table 1)"


def test_without_readouts_there_is_no_row() -> None:
    assert readouts(Evidence([trained("plain")])).rows == []
