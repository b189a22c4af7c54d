"""Average ranks over datasets: of methods that were trained alike on each of at least four."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from reports.contents import Table
from reports.evidence import Evidence
from reports.rank_tests import rank_test
from reports.tables.across.ranks import ranks
from reports.tables.table_registry import Tables
from results.record import Record
from tests.helpers.fakes.fake_results import failed, trained
from tests.helpers.report_reader import column, shown

DATASETS = ("birds", "cars", "dogs", "flowers", "planes")


def records(top1: dict[str, Sequence[float]], **changes: object) -> list[Record]:
    """A Run per method and dataset, on images of its own."""
    return [
        trained(method, top1=value, dataset=dataset, images_sha256=str(place) * 64, **changes)
        for method, values in top1.items()
        for place, (dataset, value) in enumerate(zip(DATASETS, values, strict=False))
    ]


def table_of(several: list[Record]) -> Table:
    return ranks(Evidence(several))


FOUR = {"cal": (0.9, 0.8, 0.7, 0.9), "plain": (0.6, 0.5, 0.4, 0.6), "sef": (0.8, 0.7, 0.6, 0.95)}


def test_ranks_are_averaged_over_the_datasets_and_the_best_comes_first():
    table = table_of(records(FOUR))
    assert column(table, "method") == ["cal", "sef", "plain"]
    expected = np.mean([stats.rankdata([-values[one] for values in FOUR.values()]) for one in range(4)], axis=0)
    assert column(table, "average_rank") == [expected[0], expected[2], expected[1]] == [1.25, 1.75, 3.0]
    assert shown(table, "average rank") == ["1.25", "1.75", "3.00"]
    assert column(table, "mean_top1") == pytest.approx([82.5, 76.25, 52.5])
    assert set(column(table, "ranked_on")) == {"birds, cars, dogs, flowers"}


def test_each_row_names_whom_it_is_not_shown_to_differ_from():
    values = np.array(list(FOUR.values())).T
    test = rank_test(values)
    assert (test.p < 0.05, test.critical) == (True, pytest.approx(1.657, abs=0.001))
    table = table_of(records(FOUR))
    assert column(table, "alike") == ["sef", "cal, plain", "sef"], "1.75 ranks are more than the critical difference"
    assert column(table, "p_friedman") == [test.p] * 3
    assert column(table, "pairs_by") == ["Nemenyi"] * 3


def test_fewer_than_four_datasets_or_three_methods_have_no_ranks():
    assert not table_of(records({method: values[:3] for method, values in FOUR.items()})).rows
    assert not table_of(records({method: FOUR[method] for method in ("plain", "cal")})).rows


def test_seeds_count_as_their_mean():
    seeds = [*records(FOUR), *records({"sef": (1.0, 1.0, 1.0, 1.0)}, seed=1)]
    assert column(table_of(seeds), "method") == ["sef", "cal", "plain"]


def test_methods_by_another_recipe_or_on_another_backbone_are_not_ranked_together():
    for changes in ({"recipe": {"epochs": 20}}, {"backbone": "vgg16"}):
        several = [*records({name: FOUR[name] for name in ("plain", "cal")}), *records({"sef": FOUR["sef"]}, **changes)]
        assert not table_of(several).rows
    twice = table_of([*records(FOUR), *records(FOUR, backbone="vgg16")])
    assert [heading for heading, _ in twice.parts()] == [
        f"common recipe, {backbone}, 448 px, epochs: 10" for backbone in ("resnet50", "vgg16")
    ]


def test_what_lacks_a_dataset_is_not_ranked_and_the_reason_is_told():
    several = records({**FOUR, "dcl": (0.9, 0.9)})
    several += [failed("dcl", dataset="dogs", images_sha256="2" * 64)]
    tables = Tables(Evidence(several))
    assert column(tables["ranks"], "method") == ["cal", "sef", "plain", "dcl"]
    assert shown(tables["ranks"], "average rank")[-1] == "–"
    assert shown(tables["ranks"], "p Friedman")[-1] == "–"
    told = {row["where"]: row["reason"] for row in tables["missing"].rows if row["value"] == "average rank"}
    assert told == {"common recipe, resnet50, 448 px, epochs: 10: dcl": "no result on dogs, flowers"}


def test_a_dataset_that_few_methods_have_does_not_end_the_ranking_of_the_others():
    more = {"dataset": "planes", "images_sha256": "4" * 64}
    several = [*records(FOUR), trained("cal", **more), trained("plain", **more)]
    table = table_of(several)
    assert set(column(table, "ranked_on")) == {"birds, cars, dogs, flowers"}
    assert len(table.rows) == 3


def test_a_dataset_on_another_split_or_at_another_level_of_its_classes_counts_once():
    three = {method: values[:3] for method, values in FOUR.items()}
    again = {"dataset": "birds", "split_sha256": "9" * 64, "images_sha256": "7" * 64}
    coarse = {"dataset": "birds", "dataset_options": {"level": "family"}, "images_sha256": "0" * 64}
    for changes in (again, coarse):
        more = [trained(method, top1=0.5, **changes) for method in FOUR]
        assert not table_of([*records(three), *more]).rows


def test_of_a_method_that_is_there_as_a_whole_no_variant_is_ranked():
    several = records(FOUR) + records({"sef": FOUR["plain"]}, variant="no_kl")
    assert column(table_of(several), "method") == ["cal", "sef", "plain"]
