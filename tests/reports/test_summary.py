"""The sentences with which a report begins say what its table of pairs decides, no more and no less."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from reports.evidence import Evidence
from reports.names import IDS, Names
from reports.run_files import RunFiles
from reports.summary import summary
from reports.tables.table_registry import build_tables
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained

IMAGES = 400


def sentences(store: ResultStore, names: Names = IDS) -> list[str]:
    records = store.records()
    evidence = Evidence(records, RunFiles(store, records).predictions, names=names)
    return list(summary(records, build_tables(evidence), names))


def test_methods_that_no_test_separates_can_t_be_told_apart_and_those_below_are_named(store: ResultStore) -> None:
    accuracies = {"plain": 0.80, "sef": 0.79, "ws_dan": 0.3, "cal": 0.2}
    fill(store, [trained(name, seed, top1) for name, top1 in accuracies.items() for seed in range(3)], IMAGES)
    told = sentences(store)[0]
    assert "plain and sef can't be told apart; both beat ws_dan and cal." in told
    assert told.endswith("No difference to plain shown: sef; worse than plain: ws_dan and cal.")


def test_a_method_that_beats_all_others_stands_alone(store: ResultStore) -> None:
    accuracies = {"sef": 0.9, "plain": 0.5, "ws_dan": 0.3}
    fill(store, [trained(name, seed, top1) for name, top1 in accuracies.items() for seed in range(3)], IMAGES)
    told = sentences(store)[0]
    assert "sef beats plain and ws_dan. Better than plain: sef; worse than plain: ws_dan." in told
    assert "told apart" not in told


def test_one_seed_compares_models(store: ResultStore) -> None:
    fill(store, [trained("sef", 0, 0.9), *(trained("plain", seed, 0.3) for seed in range(2))], IMAGES)
    assert "sef beats plain. Of sef one seed is there: it compares models, not methods." in sentences(store)[0]


def test_what_was_not_tested_is_in_no_verdict(store: ResultStore) -> None:
    fill(store, [trained("sef"), trained("plain", top1=0.3)])  # without predictions
    told = sentences(store)[0]
    assert re.search(r"has the highest last-epoch top-1 of 2, [0-9.]+ % \(n=1\)\.$", told)


@pytest.mark.parametrize("seeds", [1, 2])
def test_every_verdict_agrees_with_the_table_of_pairs(store: ResultStore, tmp_path: Path, seeds: int) -> None:
    """A spread of accuracies, in which the highest is apart from some, and those from others."""
    accuracies = dict(zip(("plain", "sef", "ws_dan", "cal", "pmg"), (0.70, 0.66, 0.62, 0.55, 0.4), strict=True))
    fill(store, [trained(name, seed, top1) for name, top1 in accuracies.items() for seed in range(seeds)], IMAGES)
    records = store.records()
    tables = build_tables(Evidence(records, RunFiles(store, records).predictions))
    better = {frozenset({row["first"], row["second"]}): row["better"] for row in tables["paired"].rows}
    told = next(summary(records, tables))
    verdict = re.split(r" top-1 of .+?(?:%|\(n=1\))\. ", told)[1].partition(".")[0]
    level, _, worse = verdict.partition("; ")
    names = [name for name in accuracies if name in level]
    if "told apart" in level:
        assert {better[frozenset(pair)] for pair in combinations(names, 2)} == {"neither"}
    beaten = [name for name in accuracies if name in (worse or level.partition(" beats ")[2])]
    assert beaten
    assert all(better[frozenset({one, other})] == one for one in set(names) - set(beaten) for other in beaten)


def test_sentences_say_names_and_decide_as_before(store: ResultStore) -> None:
    accuracies = {"sef": 0.9, "plain": 0.5, "ws_dan": 0.3}
    fill(store, [trained(name, seed, top1) for name, top1 in accuracies.items() for seed in range(3)], IMAGES)
    names = Names(
        {"ws_dan": "WS-DAN", "plain": "Plain", "sef": "SEF"}, {"cub100": "CUB-100"}, {"resnet50": "ResNet-50"}
    )
    told = sentences(store, names)[0]
    assert told.startswith("CUB-100, common recipe, ResNet-50, 448 px, epochs: 10: SEF has the highest")
    assert "SEF beats Plain and WS-DAN. Better than Plain: SEF; worse than Plain: WS-DAN." in told


def test_a_report_on_drawn_images_says_what_it_can_show_and_what_to_run_next(store: ResultStore) -> None:
    fill(store, [trained(name, dataset="synthetic") for name in ("plain", "sef")], IMAGES)
    shows, next_, *_ = sentences(store)
    assert "drawn by fgbench itself" in shows
    assert "not which one is better on photographs" in shows
    assert "run_all.py compare --methods A,B --dataset NAME --backbone NAME" in next_


def test_beside_photographs_drawn_images_are_named_and_nothing_is_to_be_run_next(store: ResultStore) -> None:
    fill(store, [trained("plain"), trained("plain", dataset="synthetic")], IMAGES)
    told = " ".join(sentences(store, Names(datasets={"synthetic": "Drawn birds"})))
    assert "The images of Drawn birds are drawn by fgbench itself" in told
    assert "run next" not in told


def test_photographs_alone_need_no_such_sentence(store: ResultStore) -> None:
    fill(store, [trained("plain"), profiled("plain")], IMAGES)
    assert "drawn by" not in " ".join(sentences(store))


def test_sentences_say_that_the_table_of_backbones_corrects_for_other_pairs(store: ResultStore) -> None:
    records = [trained(name, backbone=one) for name in ("plain", "sef") for one in ("resnet50", "vgg16")]
    fill(store, records[:2], IMAGES)
    assert "with plain alone" not in " ".join(sentences(store))
    fill(store, records, IMAGES)
    (told,) = [one for one in sentences(store) if "Holm" in one]
    assert "corrects for its pairs with plain alone" in told
