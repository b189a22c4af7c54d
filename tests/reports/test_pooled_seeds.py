"""Which Runs are seeds of one experiment, and what a row says of seeds that differ."""

from __future__ import annotations

from typing import Any

import pytest

from reports.evidence import Evidence
from reports.groups import groups
from reports.tables.head_to_head import head_to_head
from reports.tables.table_registry import Tables
from tests.helpers.fakes.fake_results import trained
from tests.helpers.report_reader import column, only_row, shown


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"processes": 2}, "seeds differ in processes: 1, 2"),
        ({"threads": 2}, "seeds differ in threads: 1, 2"),
        ({"threads": 2, "processes": 2}, "seeds differ in processes: 1, 2; threads: 1, 2"),
    ],
)
def test_seeds_that_differ_in_what_changes_bits_are_not_pooled_without_naming_it(
    training: dict[str, float], told: str
) -> None:
    known = {"micro_batch": 32, "processes": 1, "threads": 1}
    records = [trained("plain", 0, training=known, hardware={"device": "cpu"})]
    records += [trained("plain", 1, training=known | training, hardware={"device": "cpu"})]
    tables = Tables(Evidence(records))
    assert shown(tables["head_to_head"], "settings") == [told]
    assert tables["paired"].note.endswith(f" plain on cub100: {told}.")


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {"compiled": "default"}, "seeds differ in compiled: no, default"),
        ({"compiled": "default"}, {"compiled": "max-autotune"}, "seeds differ in compiled: default, max-autotune"),
        ({"compiled": "default"}, {"training": {"compile_seconds": 9.0}}, ""),  # from before modes were recorded
    ],
)
def test_seeds_that_were_compiled_in_other_ways_are_named(
    first: dict[str, Any], second: dict[str, Any], told: str
) -> None:
    table = head_to_head(Evidence([trained("plain", 0, **first), trained("plain", 1, **second)]))
    assert only_row(table)["settings"] == told


def test_a_lower_precision_is_named_in_its_row_and_pooled_with_no_other() -> None:
    records = [
        trained("plain"),
        trained("plain", 1),
        trained("plain", precision="bf16"),
        trained("sef", precision="bf16"),
    ]
    rows = head_to_head(Evidence(records)).rows
    assert [(row["method"], row["settings"], row["seeds"]) for row in rows] == [
        ("plain", "precision=bf16", 1),
        ("sef", "precision=bf16", 1),
        ("plain", "precision=fp32", 2),
    ]


@pytest.mark.parametrize(
    ("recipe", "told"),
    [({}, "batches in pieces of 16"), ({"accumulate": 2}, ""), ({"batch_size": 16}, "")],
    ids=["cut for memory", "asked for", "whole"],
)
def test_batches_that_were_cut_into_pieces_for_memory_are_named(recipe: dict[str, int], told: str) -> None:
    table = head_to_head(Evidence([trained("plain", training={"micro_batch": 16, "processes": 1}, recipe=recipe)]))
    assert only_row(table)["settings"] == told


def test_a_classifier_fitted_to_frozen_features_cuts_no_batch() -> None:
    table = head_to_head(Evidence([trained("plain", training={"micro_batch": 0.0, "processes": 1})]))
    assert only_row(table)["settings"] == ""


def test_a_run_whose_batches_were_cut_is_no_seed_beside_those_with_whole_batches() -> None:
    known = {"processes": 1}
    whole = [trained("plain", seed, 0.8, training=known | {"micro_batch": 32}) for seed in range(2)]
    cut = [trained("plain", 2 + seed, 0.6, training=known | {"micro_batch": 16}) for seed in range(2)]
    late = trained("plain", 4, 0.5, training=known | {"micro_batch": 16, "images_before_cut": 3000})
    tables = Tables(Evidence([*whole, *cut, late, trained("sef", training=known | {"micro_batch": 32})]))
    rows = [row for row in tables["head_to_head"].rows if row["method"] == "plain"]
    assert [(row["settings"], row["last_top1"], row["seeds"]) for row in rows] == [
        ("", pytest.approx(80), 2),
        ("batches in pieces of 16", pytest.approx(60), 2),
        ("batches in pieces of 16 after 3 000 images", pytest.approx(50), 1),
    ]
    assert len(tables["paired"].rows) == 1  # the whole batches stand for the method
    assert "plain on cub100: batches in pieces of 16." in tables["paired"].note


def test_where_every_seed_was_cut_alike_they_stand_for_the_method() -> None:
    cut = [trained("plain", seed, training={"micro_batch": 16, "processes": 1}) for seed in range(2)]
    tables = Tables(Evidence([*cut, trained("sef")]))
    assert shown(tables["head_to_head"], "settings") == ["batches in pieces of 16", ""]
    assert len(tables["paired"].rows) == 1


def test_seeds_of_which_an_older_record_does_not_say_the_threads_are_not_called_different() -> None:
    old = trained("plain", 0, training={"micro_batch": 32}, hardware={"device": "cpu", "threads": 2})
    new = trained("plain", 1, training={"micro_batch": 32, "threads": 1}, hardware={"device": "cpu"})
    assert only_row(head_to_head(Evidence([old, new])))["settings"] == ""


def test_threads_decide_no_bits_of_a_training_on_a_gpu() -> None:
    records = [trained("plain", seed, training={"threads": 8 * (1 + seed)}) for seed in range(2)]
    assert only_row(head_to_head(Evidence(records)))["settings"] == ""


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged():
    records = [trained("plain", 0, 0.8), trained("plain", 1, 0.4, recipe={"epochs": 2})]
    table = head_to_head(Evidence(records))
    assert sorted(table.frame["settings"]) == ["epochs=10", "epochs=2"]
    assert column(table, "last_top1_n") == [1, 1]


def test_accuracies_on_different_splits_are_not_averaged():
    assert len(groups([trained("plain", 0), trained("plain", 1, split_sha256="other")])) == 2


def test_seeds_on_other_images_or_class_names_are_told_apart_and_not_averaged():
    seeds = [trained("plain"), trained("plain", 1, images_sha256="a" * 64), trained("plain", 2, images_sha256="b" * 64)]
    table = head_to_head(Evidence(seeds))
    assert sorted(table.frame["settings"]) == ["images=aaaaaaaaaa", "images=bbbbbbbbbb", "images=unchecked"]
    named = [trained("plain", seed, images_sha256="a" * 64, classes_sha256=str(seed) * 64) for seed in range(2)]
    assert sorted(head_to_head(Evidence(named)).frame["settings"]) == ["classes=0000000000", "classes=1111111111"]
