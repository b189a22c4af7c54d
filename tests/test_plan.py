"""Plans: a suite expands to the Runs it says, narrowed and changed as the command line asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import jobs, plan, suite
from benchmarks.errors import UserError
from benchmarks.plan import Changes, Place
from benchmarks.settings import ProfileRun, Run
from benchmarks.suite import Suite
from datasets import DatasetError
from methods.backbones import SHIPPED_WEIGHTS, BackboneError

SMALL = {"classes": 3, "train_per_class": 2, "test_per_class": 1}
SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain", "bilinear_cnn"],
                "datasets": [{"name": "synthetic", "options": SMALL}],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 2,
            }
        ],
        "profile": [{"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [64], "batch_sizes": [2, 4]}],
    }
)


def test_a_suite_expands_to_the_product_of_its_lists(here: Place) -> None:
    runs = plan.expand(SUITE, here)
    trainings = [run for run in runs if isinstance(run, Run)]
    assert [(run.method, run.seed) for run in trainings] == [
        ("plain", 0),
        ("plain", 1),
        ("bilinear_cnn", 0),
        ("bilinear_cnn", 1),
    ]
    assert [run.batch_size for run in runs if isinstance(run, ProfileRun)] == [2, 4]
    assert len({run.hash for run in runs}) == len(runs)


def test_the_same_run_asked_for_twice_stands_once(here: Place) -> None:
    doubled = SUITE.model_copy(update={"train": [*SUITE.train, *SUITE.train]})
    assert len(plan.expand(doubled, here)) == len(plan.expand(SUITE, here))


def test_only_narrows_and_set_changes(here: Place) -> None:
    changes = Changes(set={"recipe": {"epochs": 2}}, only={"method": "plain", "job": "train"}, seeds=1)
    (run,) = plan.expand(SUITE, here, changes)
    assert isinstance(run, Run)
    assert (run.method, run.recipe.epochs, run.seed) == ("plain", 2, 0)


def test_only_that_fits_nothing_is_an_error(here: Place) -> None:
    with pytest.raises(UserError, match="no Run of the plan"):
        plan.expand(SUITE, here, Changes(only={"method": "sef"}))
    with pytest.raises(UserError, match="did you mean 'method'"):
        plan.expand(SUITE, here, Changes(only={"methd": "plain"}))


def test_set_of_an_unknown_key_is_an_error(here: Place) -> None:
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        plan.expand(SUITE, here, Changes(set=plan.nested({"epoch": "2"})))
    with pytest.raises(UserError, match="did you mean 'tap'"):
        plan.expand(SUITE, here, Changes(set={"options": {"tapp": 16}}, only={"method": "plain"}))


def test_a_plan_names_unknown_things_before_anything_runs(here: Place) -> None:
    for wrong, error, said in [
        ({"methods": ["plane"]}, UserError, "did you mean 'plain'"),
        ({"methods": ["bilinear_cnn:papr"]}, UserError, "did you mean 'paper'"),
        ({"datasets": ["synthetc"]}, DatasetError, "synthetic"),
        ({"backbones": ["test_resnt"]}, BackboneError, "test_resnet"),
    ]:
        entry = SUITE.train[0].model_dump() | wrong
        with pytest.raises(error, match=said):
            plan.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)


def test_weights_that_are_not_there_are_not_silently_done_without(here: Place) -> None:
    entry = SUITE.train[0].model_dump() | {"backbones": ["resnet18"]}
    with pytest.raises(BackboneError, match="pretrained=none"):
        plan.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)


def test_images_too_small_for_their_crop_are_refused(here: Place) -> None:
    with pytest.raises(UserError, match="stored_size"):
        plan.expand(SUITE, here, Changes(set={"recipe": {"image_size": 300}}))


def test_work_is_counted_in_images(here: Place) -> None:
    run = plan.expand(SUITE, here, Changes(set={"recipe": {"epochs": 3, "validation": 0.5}}))[0]
    assert isinstance(run, Run)
    assert plan.images_to_process(run, here) == (3 * 3, 3 * (3 + 3))


def test_reproduce_says_what_is_lacking_instead_of_guessing(here: Place) -> None:
    goals = jobs.goals("bilinear_cnn", here, None, None, [])
    assert goals
    assert all(goal.lacking for goal in goals)
    assert jobs.reproduce("bilinear_cnn", goals, seeds=1).train == []


def test_known_weight_files_bring_their_options(real_data: Path, real_weights: Path) -> None:
    compared = jobs.compare(["plain"], "cub100", "mobilenetv2_100", 1, {})
    run = plan.expand(compared, Place(real_data, real_weights))[0]
    assert isinstance(run, Run)
    assert run.backbone_options == {"pad_type": "same"}
    assert run.pretrained == "mobilenetv2_100.safetensors"


def test_the_shipped_backbone_has_never_seen_the_quick_suites_classes() -> None:
    seen, asked = (
        {
            number
            for entry in suite.load(name).train
            for choice in entry.datasets
            for first in [choice.options.get("first_class", 0)]
            for number in range(first, first + choice.options.get("classes", 20))
        }
        for name in ("pretrain", "quick")
    )
    assert seen
    assert asked
    assert not seen & asked
    assert sum(file.stat().st_size for file in SHIPPED_WEIGHTS.iterdir()) < 5_000_000
