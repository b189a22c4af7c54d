"""Methods by backbone: accuracy, and gain over the baseline on the same backbone, wherever recipes are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reports.cell_format import DASH
from reports.contents import Table
from reports.evidence import Evidence
from reports.tables.across.backbones import backbones
from reports.tables.across.pretraining import pretraining
from reports.tables.paired import compared
from reports.tables.table_registry import Tables
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import failed, metrics, predictions, trained
from tests.helpers.report_reader import column, evidence_of, shown

IMAGES = 200
VGG: dict[str, Any] = {"backbone": "vgg16", "pretrained": "vgg16.tv_in1k.safetensors"}


def scored(store: ResultStore, method: str, right: int, seed: int = 0, **changes: Any) -> Record:
    """A stored Run that gets the first `right` of 200 images right."""
    record = trained(method, seed, metrics={"last": metrics(right / IMAGES)}, **changes)
    record = record.model_copy(update={"id": f"{record.id}-{changes.get('variant', 'paper')}-{record.hash[:6]}"})
    store.write(record, predictions=predictions(np.arange(IMAGES) < right))
    return record


def table_of(store: ResultStore) -> Table:
    return backbones(evidence_of(store))


def cells(table: Table, backbone: str) -> dict[str, str]:
    """Method -> its cell below the backbone."""
    (heading,) = [one.heading for one in table.columns if one.heading.startswith(f"{backbone}:")]
    return dict(zip(column(table, "method"), shown(table, heading), strict=True))


def test_each_method_gains_over_the_baseline_on_the_same_backbone(store: ResultStore) -> None:
    for seed in range(2):
        for changes, of_plain, of_sef in (({}, 120, 160), (VGG, 140, 138)):
            scored(store, "plain", of_plain, seed, **changes)
            scored(store, "sef", of_sef, seed, **changes)
    table = table_of(store)
    assert column(table, "method") == ["plain", "sef"]
    assert cells(table, "resnet50") == {"plain": "60.0", "sef": "80.0, +20.0 better"}
    assert cells(table, "vgg16") == {"plain": "70.0", "sef": "69.0, −1.0 open"}


def test_no_gain_is_told_where_the_baseline_is_on_no_backbone(store: ResultStore) -> None:
    for changes in ({}, VGG):
        scored(store, "sef", 160, **changes)
        scored(store, "plain", 140, variant="linear_probe", **changes)
    table = table_of(store)
    assert cells(table, "vgg16") == {"plain:linear_probe": "70.0 (n=1)", "sef": "80.0 (n=1)"}


def test_probes_alone_on_one_backbone_are_still_compared_with_trainings_on_another(store: ResultStore) -> None:
    scored(store, "plain", 120)
    for changes in ({}, VGG):
        scored(store, "plain", 140, variant="linear_probe", training={"micro_batch": 0.0}, **changes)
    table = table_of(store)
    assert column(table, "method") == ["plain", "plain:linear_probe"]
    assert {row["epochs"] for row in table.rows} == {10}
    assert cells(table, "vgg16") == {"plain": "", "plain:linear_probe": f"70.0 (n=1), {DASH}"}


def test_one_seed_is_marked(store: ResultStore) -> None:
    for changes in ({}, VGG):
        scored(store, "plain", 120, **changes)
        scored(store, "sef", 160, **changes)
        scored(store, "sef", 160, seed=1, **changes)
        scored(store, "cal", 40, **changes)
    assert cells(table_of(store), "vgg16") == {
        "plain": "60.0 (n=1)",
        "sef": "80.0, +20.0 better (n=1)",
        "cal": "20.0 (n=1), −40.0 worse",
    }


def test_gains_are_corrected_for_all_pairs_of_the_table_whatever_is_shown(store: ResultStore) -> None:
    for changes in ({}, VGG):
        scored(store, "plain", 120, **changes)
        scored(store, "sef", 127, **changes)
        scored(store, "cal", 133, **changes)
    evidence = evidence_of(store)
    whole = backbones(evidence)
    assert set(column(whole, "family")) == {4}
    plain, sef = (next(one for one in evidence.groups if one.run.method == name) for name in ("plain", "sef"))
    alone = compared(evidence.predictions.of(sef), evidence.predictions.of(plain))["p"]
    (row,) = whole.where(method="sef").rows
    assert alone == pytest.approx(2 * 0.5**7)
    assert row["p_holm vgg16"] == pytest.approx(2 * alone), "the two larger gains of cal come first in Holm's order"
    (alone_shown,) = backbones(evidence, lambda group: group.run.method == "sef").rows
    assert alone_shown["p_holm vgg16"] == row["p_holm vgg16"]


def test_two_weights_of_one_network_are_two_backbones(store: ResultStore) -> None:
    for tag in ("a1_in1k", "tv_in1k"):
        scored(store, "plain", 120, pretrained=f"resnet50.{tag}.safetensors")
    headings = [one.heading for one in table_of(store).columns]
    assert headings[-2:] == ["resnet50.a1_in1k: IN-1k", "resnet50.tv_in1k: IN-1k"]


def test_variants_of_the_baseline_are_rows_and_those_of_other_methods_are_not(store: ResultStore) -> None:
    for changes in ({}, VGG):
        for method, variant in (("plain", "paper"), ("plain", "linear_probe"), ("sef", "paper"), ("sef", "groups_3")):
            scored(store, method, 120, variant=variant, **changes)
    assert column(table_of(store), "method") == ["plain", "plain:linear_probe", "sef"]


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": {"image_size": 224}},
        {"recipe": {"epochs": 2}},
        {"protocol": "paper"},
        {"dataset": "cars"},
        {"split_sha256": "other"},
        {"images_sha256": "a" * 64, "precision": "bf16"},
    ],
)
def test_different_conditions_never_share_a_table(store: ResultStore, other: dict[str, Any]) -> None:
    scored(store, "plain", 120)
    scored(store, "plain", 120, **VGG, **other)
    assert table_of(store).rows == []


def test_one_backbone_makes_no_table(store: ResultStore) -> None:
    scored(store, "plain", 120)
    scored(store, "sef", 120)
    assert table_of(store).rows == []


def test_a_method_without_a_baseline_has_its_accuracy_and_the_reason(store: ResultStore) -> None:
    scored(store, "plain", 120)
    scored(store, "sef", 150)
    scored(store, "sef", 150, **VGG)
    assert cells(table_of(store), "vgg16") == {"plain": "", "sef": f"75.0 (n=1), {DASH}"}
    (missing,) = Tables(evidence_of(store))["missing"].where(value="gain over the baseline").rows
    assert missing["reason"] == "no finished plain on this backbone"
    assert missing["where"].endswith("vgg16: sef")


def test_a_failed_method_is_a_dash_and_one_that_was_not_trained_is_blank() -> None:
    records = [trained("plain"), trained("plain", **VGG), failed("sef", **VGG)]
    table = backbones(Evidence(records))
    assert cells(table, "vgg16")["sef"] == DASH
    assert cells(table, "resnet50")["sef"] == ""


def test_numbers_link_to_the_runs_of_their_backbone(store: ResultStore) -> None:
    here, there = scored(store, "plain", 120), scored(store, "plain", 120, **VGG)
    table = table_of(store)
    (row,) = table.rows
    ids = {one.heading.partition(":")[0]: row["sources"][one.source] for one in table.columns[-2:]}
    assert ids == {"resnet50": (here.id,), "vgg16": (there.id,)}


def test_pretraining_has_a_row_per_dataset_and_weights(store: ResultStore) -> None:
    scored(store, "plain", 120, pretrained="resnet50.a1_in1k.safetensors")
    scored(store, "sef", 120, pretrained="resnet50.a1_in1k.safetensors")
    scored(store, "plain", 120, backbone="vgg16", pretrained="my_own.pth")
    table = pretraining(evidence_of(store))
    assert list(
        zip(column(table, "backbone"), column(table, "pretraining"), column(table, "experiments"), strict=True)
    ) == [
        ("resnet50", "IN-1k", 2),
        ("vgg16", "unknown", 1),
    ]
    assert "22 of 5 794" in column(table, "overlap")[0]
    assert column(table, "overlap")[1] is None
