"""An ablation says what each variant adds or takes away, and never compares what can't be compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow
import pytest

from reports.evidence import Evidence
from reports.figures.select import drawings
from reports.predictions import PredictionCache
from reports.tables.ablation import ablation, steps
from reports.tables.missing import condensed
from reports.tables.paired import paired
from reports.tables.table_registry import Tables, build_tables
from results.store import ResultStore
from tests.helpers.fakes.fake_results import prediction_table, trained

RIGHT = {"paper": 90, "no_crop": 80, "no_drop": 85}
"""Of 100 test images, per variant."""


def stored(run_id: str) -> pyarrow.Table:
    variant = next(name for name in RIGHT if f"-{name}-" in run_id)
    return prediction_table([place < RIGHT[variant] for place in range(100)])


def variants(**changes: object) -> list:
    return [
        trained("ws_dan", seed, right / 100, variant=name, **changes)
        for name, right in RIGHT.items()
        for seed in (0, 1)
    ]


def test_each_variant_is_measured_against_the_whole_method():
    rows = ablation(Evidence(variants(), PredictionCache(stored))).rows
    assert [row["variant"] for row in rows] == ["paper", "no_drop", "no_crop"]
    assert pd.isna(rows[0]["difference"])
    assert [row["difference"] for row in rows[1:]] == pytest.approx([-5, -10])
    assert rows[2]["difference_low"] < -10 < rows[2]["difference_high"] < 0


def test_a_published_value_stands_beside_the_row_it_belongs_to():
    published = [{"value": 86.4, "table": "Table 3"}]
    records = [record for record in variants() if record.run.variant == "paper"]
    records += [trained("ws_dan", 0, 0.8, variant="no_crop", published=published)]
    rows = ablation(Evidence(records, PredictionCache(stored))).rows
    assert pd.isna(rows[0]["published"])
    assert rows[1]["published"] == "86.4 (Table 3)"


def test_without_predictions_there_is_no_difference_but_a_reason():
    rows = ablation(Evidence(variants())).rows
    assert all(pd.isna(row["difference"]) for row in rows)
    assert rows[1]["reason"] == "no stored predictions of a finished Run"


def test_without_the_whole_method_variants_stand_alone():
    records = [record for record in variants() if record.run.variant != "paper"]
    rows = ablation(Evidence(records, PredictionCache(stored))).rows
    assert len(rows) == 2
    assert all(pd.isna(row["difference"]) for row in rows)


def test_a_difference_over_one_common_seed_is_marked_however_many_a_variant_has():
    records = [record for record in variants() if (record.run.variant, record.run.seed) != ("paper", 1)]
    table = ablation(Evidence(records, PredictionCache(stored)))
    assert [(row["seeds"], row["difference_seeds"]) for row in table.rows] == [(1, None), (2, 1), (2, 1)]
    (column,) = [column for column in table.columns if column.key == "difference"]
    assert [column.show(row) for row in table.rows] == ["–", "−5.0 (n=1)", "−10.0 (n=1)"]


def test_of_two_whole_methods_none_is_chosen_to_compare_with():
    records = [*variants(), *(trained("ws_dan", seed, 0.8, options={"maps": 64}) for seed in (0, 1))]
    rows = ablation(Evidence(records, PredictionCache(stored))).rows
    assert [row["variant"] for row in rows].count("paper") == 2
    assert all(row["difference"] is None for row in rows)


def test_one_variant_is_no_ablation_and_methods_and_datasets_are_not_mixed():
    for other in (trained("sef", variant="no_crop"), trained("ws_dan", variant="no_crop", dataset="cars")):
        assert not ablation(Evidence([trained("ws_dan"), other], PredictionCache(stored))).rows


def test_pairs_of_variants_are_left_to_the_ablation():
    records = [*variants(), trained("sef"), trained("sef", 1)]
    frame = paired(Evidence(records)).frame
    assert list(zip(frame["first"], frame["second"], strict=True)) == [("sef", "ws_dan")]


def test_without_the_whole_method_its_variants_are_paired_with_others_and_not_with_each_other():
    records = [record for record in variants() if record.run.variant != "paper"]
    frame = paired(Evidence([*records, trained("sef"), trained("sef", 1)])).frame
    told = sorted(zip(frame["first"], frame["second"], strict=True))
    assert told == [("sef", "ws_dan no_crop"), ("sef", "ws_dan no_drop")]


def test_two_budgets_are_two_ablations(tmp_path: Path):
    store = ResultStore(tmp_path)
    short = variants(recipe={"epochs": 3})
    for record in [*variants(), *short]:
        store.write(record, predictions=stored(record.id).to_pandas())
    evidence = Evidence(store.records(), PredictionCache(stored))
    built = build_tables(evidence)
    headings = [heading for heading, _ in built["ablation"].parts()]
    assert sorted(heading.rpartition(", ")[2] for heading in headings) == ["epochs: 10", "epochs: 3"]
    asked = drawings(evidence, built, store.history_columns)
    drawn = [drawing for drawing in asked if drawing.kind == "ablation"]
    assert [len(drawing.arguments[0]) for drawing in drawn] == [3, 3]


def test_what_is_missing_for_one_reason_is_one_row_on_the_terminal():
    records = variants(missing={"metrics.validation": "nothing held out"})
    table = condensed(Tables(Evidence(records, PredictionCache(stored)))["missing"])
    (row,) = [row for row in table.rows if row["value"] == "metrics.validation"]
    assert row["where"] == f"6, first {records[0].id}"


# Step by step

CHAIN = {
    "only_pooling": ({"crop": False, "drop": False}, 70),
    "cropped": ({"drop": False}, 80),
    "dropped": ({"crop": False}, 76),
    "paper": ({}, 90),
}
"""Variant -> its options and how many of 100 test images it gets right."""


def chained(names: tuple[str, ...] = tuple(CHAIN), **changes: object) -> list:
    return [
        trained("ws_dan", seed, CHAIN[name][1] / 100, variant=name, options=CHAIN[name][0], **changes)
        for name in names
        for seed in (0, 1)
    ]


def chain_answers(run_id: str) -> pyarrow.Table:
    name = next(name for name in CHAIN if f"-{name}-" in run_id)
    return prediction_table([place < CHAIN[name][1] for place in range(100)])


def test_each_row_gains_on_the_row_before_where_one_option_sets_them_apart():
    rows = steps(Evidence(chained(), PredictionCache(chain_answers))).rows
    gains = {(row["from"], row["to"]): (row["option"], row["difference"]) for row in rows}
    assert gains == {
        ("only_pooling", "cropped"): ("crop", pytest.approx(10)),
        ("dropped", "paper"): ("crop", pytest.approx(14)),
        ("only_pooling", "dropped"): ("drop", pytest.approx(6)),
        ("cropped", "paper"): ("drop", pytest.approx(10)),
    }
    assert all(row["difference_low"] < row["difference"] < row["difference_high"] for row in rows)


def test_variants_that_differ_in_two_options_or_in_the_recipe_are_no_step():
    assert steps(Evidence(chained(("only_pooling", "paper")), PredictionCache(chain_answers))).frame.empty
    other = [*chained(("cropped",)), *chained(("paper",), recipe={"batch_size": 64})]
    assert steps(Evidence(other, PredictionCache(chain_answers))).frame.empty


def test_of_several_values_neighbours_are_compared_upwards():
    records = [trained("ws_dan", 0, 0.8, variant=f"maps_{count}", options={"maps": count}) for count in (16, 4, 64, 8)]
    rows = steps(Evidence(records)).rows
    assert [(row["before"], row["after"]) for row in rows] == [("4", "8"), ("8", "16"), ("16", "64")]
    assert all(pd.isna(row["difference"]) for row in rows)


def test_values_of_options_are_said_in_words():
    records = [
        trained("ws_dan", options={"crop": False, "stages": ["all"]}, variant="a"),
        trained("ws_dan", options={"stages": ["all"]}, variant="b"),
        trained("ws_dan", options={"crop": False}, variant="paper"),
    ]
    frame = steps(Evidence(records)).frame
    assert {*frame["before"], *frame["after"]} == {"no", "all", "the default"}
