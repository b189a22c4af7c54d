"""An ablation says what each variant adds or takes away, and never compares what can't be compared."""

from __future__ import annotations

import pandas as pd
import pytest

from reports import tables
from reports.ablation import ablation
from reports.missing import condensed, missing
from reports.paired import paired
from tests.fake_results import predictions, trained

RIGHT = {"paper": 90, "no_crop": 80, "no_drop": 85}
"""Of 100 test images, per variant."""


def stored(run_id: str) -> pd.DataFrame | None:
    variant = next(name for name in RIGHT if f"-{name}-" in run_id)
    return predictions([place < RIGHT[variant] for place in range(100)])


def variants(**changes: object) -> list:
    return [
        trained("ws_dan", seed, right / 100, variant=name, **changes)
        for name, right in RIGHT.items()
        for seed in (0, 1)
    ]


def test_each_variant_is_measured_against_the_whole_method():
    rows = ablation(variants(), stored).frame.to_dict("records")
    assert [row["variant"] for row in rows] == ["paper", "no_drop", "no_crop"]
    assert pd.isna(rows[0]["difference"])
    assert [row["difference"] for row in rows[1:]] == pytest.approx([-5, -10])
    assert rows[2]["difference_low"] < -10 < rows[2]["difference_high"] < 0


def test_a_published_value_stands_beside_the_row_it_belongs_to():
    published = [{"value": 86.4, "table": "Table 3"}]
    records = [record for record in variants() if record.run["variant"] == "paper"]
    records += [trained("ws_dan", 0, 0.8, variant="no_crop", published=published)]
    rows = ablation(records, stored).frame.to_dict("records")
    assert pd.isna(rows[0]["published"])
    assert rows[1]["published"] == "86.4 (Table 3)"


def test_without_predictions_there_is_no_difference_but_a_reason():
    rows = ablation(variants(), lambda _: None).frame.to_dict("records")
    assert all(pd.isna(row["difference"]) for row in rows)
    assert rows[1]["reason"] == "no stored predictions of a finished Run"


def test_without_the_whole_method_variants_stand_alone():
    records = [record for record in variants() if record.run["variant"] != "paper"]
    rows = ablation(records, stored).frame.to_dict("records")
    assert len(rows) == 2
    assert all(pd.isna(row["difference"]) for row in rows)


def test_one_variant_is_no_ablation_and_methods_are_not_mixed():
    alone = [trained("ws_dan"), trained("sef", variant="no_crop")]
    assert ablation(alone, stored).frame.empty


def test_variants_on_other_data_are_not_compared():
    elsewhere = [trained("ws_dan", 0, 0.8, variant="no_crop", dataset="cars")]
    assert ablation([trained("ws_dan"), *elsewhere], stored).frame.empty


def test_pairs_of_variants_are_left_to_the_ablation():
    records = [*variants(), trained("sef"), trained("sef", 1)]
    frame = paired(records, lambda _: None).frame
    assert sorted(zip(frame["first"], frame["second"], strict=True)) == [
        ("sef", f"ws_dan {variant}") for variant in sorted(RIGHT)
    ]


def test_what_is_missing_for_one_reason_is_one_row_on_the_terminal():
    records = variants(missing={"metrics.validation": "nothing held out"})
    table = condensed(missing(records, tables.head_to_head(records), paired(records, stored)))
    (row,) = [row for row in table.frame.to_dict("records") if row["value"] == "metrics.validation"]
    assert row["where"] == f"6, first {records[0].id}"
