"""Settings that no training could mean are refused while it is planned, not hours later and not in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, overrides, suite
from benchmarks.planning.overrides import nested
from datasets.interface import DatasetError
from results.settings import Run
from results.values.numbers import BATCH, HOURS, SEED
from tests.helpers.fakes.fake_dataset import Noise
from tests.helpers.small_training import small_run, train

TRAIN = "{methods: [plain], datasets: [synthetic], backbones: [{name: test_resnet, pretrained: none}]%s}"
PROFILE = "{methods: [plain], backbones: [test_resnet], image_sizes: [32]%s}"


def loaded(text: str, folder: Path) -> suite.Suite:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return suite.load(str(folder / "mine.yaml"))


@pytest.mark.parametrize(
    "setting",
    [
        "image_size=1",
        "image_size=100000",
        "stored_size=1000000",
        "epochs=0",
        "epochs=true",
        "epochs=100000000",
        "batch_size=10000000",
        "optimizer.lr=1e999",
        "optimizer.lr=inf",
        "optimizer.betas=[-1, 2]",
        "optimizer.betas=[0.9, 1]",
        "optimizer.momentum=nan",
        "schedule.warmup_epochs=inf",
        "augment.brightness=1e999",
        "augment.mixing.mixup=inf",
        "augment.ratio=[0.5, 1e999]",
        "validation=nan",
        "clip_norm=inf",
        "lr_scale.hed=10",
        "phases.all.lr_scale.nonesuch=10",
        "scaling={mean: [0, 0, 1e999], std: [1, 1, 1]}",
    ],
)
def test_a_recipe_out_of_bounds_is_refused_by_the_name_of_the_setting(setting: str, tmp_path: Path) -> None:
    chosen = loaded(f"{{about: x, train: [{TRAIN % ''}]}}", tmp_path)
    name, _, value = setting.partition("=")
    with pytest.raises(UserError) as refused:
        expand.expand(chosen, Environment(), overrides.Changes(set=nested({name: value})))
    said = str(refused.value)
    assert name.rpartition(".")[2] in said
    assert len(said.splitlines()) == 1
    assert len(said) < 400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{about: x}", "mine.yaml: names nothing to do"),
        ("{about: x, train: []}", "mine.yaml: names nothing to do"),
        (f"{{about: x, train: [{TRAIN % ', seeds: []'}]}}", "train.0.seeds"),
        (f"{{about: x, train: [{TRAIN % ', seeds: 100000000'}]}}", "train.0.seeds"),
        (f"{{about: x, train: [{TRAIN % f', seeds: [{2**63}]'}]}}", "train.0.seeds"),
        (f"{{about: x, train: [{TRAIN % ', seeds: yes'}]}}", "train.0.seeds"),
        ("{about: x, train: [{methods: [plain], datasets: []}]}", "train.0.datasets"),
        ("{about: x, profile: [{methods: [plain], backbones: [test_resnet], image_sizes: []}]}", "image_sizes"),
        (f"{{about: x, profile: [{PROFILE % ', batch_sizes: []'}]}}", "batch_sizes"),
        (f"{{about: x, profile: [{PROFILE % ', repeats: 100000'}]}}", "repeats"),
        (f"{{about: x, train: [{TRAIN % f', seeds: {[*range(900)]}'}]}}".replace("[plain]", f"[{'plain, ' * 23}]"), ""),
    ],
    ids=range(11),
)
def test_a_suite_that_asks_for_nothing_or_too_much_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said or "asks for 20700 Runs, more than 20000; divide it"):
        loaded(text, tmp_path)


def test_a_split_without_test_images_is_refused() -> None:
    dataset = Noise()
    with pytest.raises(DatasetError, match="no test image"):
        dataset.require_split(None)


def test_a_dataset_of_one_class_is_refused() -> None:
    dataset = Noise()
    dataset.classes, dataset.labels = ("a",), np.zeros_like(dataset.labels)
    dataset.is_train[0] = False
    with pytest.raises(DatasetError, match="has one class, so every answer is right"):
        dataset.require_split(None)


def test_every_seed_that_is_accepted_can_be_trained_with(tmp_path: Path) -> None:
    run = small_run(epochs=1)
    largest = Run.model_validate(run.model_dump() | {"seed": SEED.high})
    assert len(train(largest, tmp_path).state.history) == 1
    with pytest.raises(ValueError, match="seed"):
        Run.model_validate(run.model_dump() | {"seed": SEED.high + 1})


@pytest.mark.parametrize("wrong", ["", "nan", "inf", "1e3", "0x10", "²", "9" * 5000, "-1", "1.0", "1_000"])
def test_a_whole_number_is_written_in_digits_within_bounds(wrong: str) -> None:
    with pytest.raises(ValueError, match="a whole number from 1 to 1048576, not"):
        BATCH.whole(wrong)
    assert BATCH.whole(" 7 ") == 7


@pytest.mark.parametrize("wrong", ["", "nan", "inf", "-inf", "x", "0", "9" * 5000])
def test_a_number_is_finite_and_within_bounds(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"a number from 0\.001 to 8784, not"):
        HOURS.number(wrong)
    assert HOURS.number("1e1") == 10


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("pmg", {"taps": "final"}),
        ("pmg", {"blocks": [8, True, 2]}),
        ("pmg", {"features": -1}),
        ("cal", {"scale": float("nan")}),
        ("cal", {"counterfactual": "sometimes"}),
        ("api_net", {"images_per_class": 2.5}),
        ("api_net", {"images_per_class": 0, "pairs": ["inter"]}),
        ("bilinear_cnn", {"epsilon": 0}),
        ("compact_bilinear", {"epsilon": -1}),
        ("dcl", {"alignment": "much"}),
        ("snapmix", {"middle": [16]}),
        ("hbp", {"pairs": [[0, 1], [0, "a"]]}),
        ("hbp", {"dimension": 10**15}),
        ("compact_bilinear", {"dimension": None}),
        ("mc_loss", {"cells": 10**12}),
        ("plain", {"dropout": float("inf")}),
    ],
)
def test_an_option_of_another_kind_or_size_than_its_method_takes_is_refused(
    method: str, option: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as refused:
        small_run(method, options=option)
    said = str(refused.value)
    assert said.startswith(f"{method}")
    assert len(said.splitlines()) == 1
    assert len(said) < 400
