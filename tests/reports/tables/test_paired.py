"""Methods are compared on the same images and seeds, within one comparison group, and corrected for its pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.cell_format import DASH
from reports.evidence import Evidence
from reports.predictions import PredictionCache
from reports.statistics import holm
from reports.tables.paired import paired
from reports.tables.table_registry import Tables
from reports.tables.win_matrix import wins
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, predictions, trained
from tests.helpers.report_reader import column, evidence_of, only_row, shown


def test_pairs_are_tested_on_the_seeds_they_share(store: ResultStore):
    records = [trained("plain", 0), trained("plain", 1), trained("sef", 1), trained("sef", 2)]
    right = {"plain": np.arange(100) < 70, "sef": np.arange(100) < 80}
    for record in records:
        store.write(record, predictions=predictions(right[record.run.method]))
    row = only_row(paired(evidence_of(store, records)))
    assert (row["seeds"], row["images"]) == (1, 100)
    assert row["difference"] == pytest.approx(-10)
    assert row["p"] == row["p_holm"] == pytest.approx(2 * 0.5**10)
    assert row["better"] == "sef"


def test_pairs_are_compared_by_image_not_by_place(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    table = predictions(np.arange(50) < 25)
    store.write(records[0], predictions=table)
    store.write(records[1], predictions=table.sample(frac=1, random_state=0))
    row = only_row(paired(evidence_of(store, records)))
    assert (row["difference"], row["p"], row["better"]) == (0, 1, "neither")


def test_only_last_epoch_predictions_are_compared(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    last, best = predictions(np.zeros(20, bool)), predictions(np.ones(20, bool), "best_on_test")
    store.write(records[0], predictions=pd.concat([last, best]))
    store.write(records[1], predictions=last)
    assert only_row(paired(evidence_of(store, records)))["difference"] == 0


@pytest.mark.parametrize(
    ("seed", "images", "reason"),
    [(1, 50, "no seed in common"), (0, 40, "not of the same test images"), (0, 0, "no stored predictions")],
)
def test_pairs_that_cannot_be_tested_say_why(store: ResultStore, seed: int, images: int, reason: str):
    records = [trained("plain"), trained("sef", seed)]
    fill(store, records[:1], 50)
    fill(store, records[1:], images)
    table = paired(evidence_of(store, records))
    assert shown(table, "p McNemar (Holm)") == [DASH]
    assert reason in only_row(table)["reason"]
    rows = Tables(evidence_of(store, records))["missing"].where(value="paired test").rows
    assert only_row(table)["reason"] in [row["reason"] for row in rows]


@pytest.mark.parametrize(
    "change", [{"dataset": "cars"}, {"backbone": "vgg16"}, {"protocol": "paper"}, {"recipe": {"epochs": 2}}]
)
def test_methods_under_different_conditions_are_not_paired(change: dict):
    assert paired(Evidence([trained("plain"), trained("sef", **change)])).frame.empty


def test_predictions_are_not_read_where_there_is_no_pair():
    def read(run_id: str) -> None:
        raise AssertionError(f"{run_id} was read")

    assert paired(Evidence([trained("plain", seed) for seed in range(3)], PredictionCache(read))).frame.empty


def test_a_pair_is_decided_only_if_both_tests_say_so(store: ResultStore):
    # Each seed's models differ beyond doubt, but in opposite directions: nothing is said of the methods.
    records = [trained(method, seed) for method in ("plain", "sef") for seed in range(2)]
    right = {("plain", 0): 90, ("sef", 0): 60, ("plain", 1): 61, ("sef", 1): 90}
    for record in records:
        share = right[record.run.method, record.run.seed]
        store.write(record, predictions=predictions(np.arange(100) < share))
    row = only_row(paired(evidence_of(store, records)))
    assert (row["better"], row["p"]) == ("neither", 1)
    assert row["difference_low"] < 0 < row["difference_high"]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"batch_size": 64}},
        {"recipe": {"augment": {"flip": 0.0}}},
        {"precision": "bf16"},
        {"split_sha256": "other"},
    ],
)
def test_what_distinguishes_two_comparison_groups_is_in_their_names(change: dict):
    records = [trained("plain"), trained("sef", **change)]
    assert paired(Evidence(records)).frame.empty
    names = [str(shared) for shared in Evidence(records).comparisons]
    assert len(set(names)) == 2
    assert all(name.startswith("cub100, common recipe, resnet50, 448 px, epochs: 10, ") for name in names)


def test_predictions_of_other_images_under_the_same_names_are_not_paired(store: ResultStore):
    records = [trained("plain", images_sha256="a" * 64), trained("sef", images_sha256="b" * 64)]
    fill(store, records, 100)
    found = evidence_of(store, records)
    assert paired(found).frame.empty
    endings = sorted(str(shared).rpartition(", ")[2] for shared in found.comparisons)
    assert endings == ["images=aaaaaaaaaa", "images=bbbbbbbbbb"]


def test_runs_from_before_images_were_checked_are_compared_under_a_name_that_says_so(store: ResultStore):
    records = [trained("plain"), trained("sef", images_sha256="a" * 64)]
    fill(store, records, 100)
    row = only_row(paired(evidence_of(store, records)))
    assert row["images"] == 100
    assert row["arena"].endswith(", images in part unchecked")
    others = [*records, trained("dfl_cnn", images_sha256="b" * 64)]
    fill(store, others, 100)
    assert paired(evidence_of(store, others)).frame.empty, "nobody knows which of the two it had"


def test_what_a_method_may_set_and_what_changes_no_result_keep_nobody_apart():
    recipe = {"lr_scale": {"head": 10.0}, "evaluate_every": 5, "clip_norm": None}
    assert len(paired(Evidence([trained("plain"), trained("sef", recipe=recipe)])).frame) == 1


def test_each_comparison_group_is_corrected_for_its_own_pairs(store: ResultStore):
    pair, three = ("plain", "sef"), ("plain", "sef", "dfl_cnn")
    records = [trained(method, dataset="cars") for method in pair] + [trained(method) for method in three]
    fill(store, records, 100)
    frame = paired(evidence_of(store, records)).frame
    assert frame.groupby("dataset")["family"].unique().map(list).to_dict() == {"cars": [1], "cub100": [3]}
    (row,) = frame[frame["dataset"] == "cars"].to_dict("records")
    assert row["p_holm"] == row["p"]


def test_with_one_seed_who_is_better_is_marked(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    for record in records:
        store.write(record, predictions=predictions(np.arange(100) < (90 if record.run.method == "sef" else 60)))
    assert shown(paired(evidence_of(store, records)), "better at 5 %") == ["sef (n=1)"]


def test_both_tests_are_corrected_for_the_number_of_pairs(store: ResultStore):
    records = [trained(method) for method in ("plain", "sef", "dfl_cnn")]
    fill(store, records, 100)
    frame = paired(evidence_of(store, records)).frame
    for key in ("p", "p_bootstrap"):
        assert frame[f"{key}_holm"].tolist() == pytest.approx(holm(frame[key].tolist()))


def test_win_matrix_counts_wins_losses_and_what_is_open(store: ResultStore):
    records = [trained("plain"), trained("sef"), trained("dfl_cnn"), trained("ws_dan")]
    shares = {"plain": 60, "sef": 90, "dfl_cnn": 91}
    for record in records:
        known = record.run.method in shares
        table = predictions(np.arange(100) < shares[record.run.method]) if known else None
        store.write(record, predictions=table)
    table = wins(paired(evidence_of(store, records)))
    counts = {row["method"]: (row["wins"], row["losses"], row["open"], row["untested"]) for row in table.rows}
    nothing = {"ws_dan": (0, 0, 0, 3)}
    assert counts == {"plain": (0, 2, 0, 1), "sef": (1, 0, 1, 1), "dfl_cnn": (1, 0, 1, 1)} | nothing
    methods = column(table, "method")
    against_plain = dict(zip(methods, shown(table, "plain"), strict=True))
    assert against_plain == {"plain": "·", "sef": "+30.0 better (n=1)", "dfl_cnn": "+31.0 better (n=1)", "ws_dan": DASH}
    assert dict(zip(methods, shown(table, "sef"), strict=True))["dfl_cnn"] == "+1.0 open"


def test_win_matrix_of_each_comparison_has_its_own_opponents(store: ResultStore):
    records = [trained(method, dataset=dataset) for method, dataset in (("a", "x"), ("b", "x"), ("a", "y"), ("c", "y"))]
    fill(store, records, 50)
    parts = dict(wins(paired(evidence_of(store, records))).parts())
    headings = [[column.heading for column in part.columns] for part in parts.values()]
    assert [("b" in found, "c" in found) for found in headings] == [(True, False), (False, True)]
