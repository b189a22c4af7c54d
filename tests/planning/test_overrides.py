"""What `--set` and `--only` change of a plan, and what they may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, overrides
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from results.settings import Run
from tests.helpers.small_suites import SUITE


def test_only_narrows_and_set_changes(here: Environment) -> None:
    changes = Changes(set={"recipe": {"epochs": 2}}, only={"method": "plain", "job": "train"}, seeds=1)
    (run,) = expand.expand(SUITE, here, changes)
    assert isinstance(run, Run)
    assert (run.method, run.recipe.epochs, run.seed) == ("plain", 2, 0)


def test_only_that_fits_nothing_is_an_error(here: Environment) -> None:
    with pytest.raises(UserError, match="no Run of the plan has method=sef; there are: plain, bilinear_cnn"):
        expand.expand(SUITE, here, Changes(only={"method": "sef"}))
    with pytest.raises(UserError, match="no Run of the plan has method=plane; did you mean 'plain'"):
        expand.expand(SUITE, here, Changes(only={"seed": "0", "method": "plane"}))
    with pytest.raises(UserError, match="no Run of the plan has image_size=224 and job=profile"):
        expand.expand(SUITE, here, Changes(only={"image_size": "224", "job": "profile"}))
    with pytest.raises(UserError, match="did you mean 'method'"):
        expand.expand(SUITE, here, Changes(only={"methd": "plain"}))


def test_set_of_an_unknown_key_is_an_error(here: Environment) -> None:
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        expand.expand(SUITE, here, Changes(set=overrides.nested({"epoch": "2"})))
    with pytest.raises(UserError, match="did you mean 'tap'"):
        expand.expand(SUITE, here, Changes(set={"options": {"tapp": 16}}, only={"method": "plain"}))


@pytest.mark.parametrize("key", ["method", "dataset", "protocol", "seed", "split_sha256", "hardware"])
def test_set_cannot_falsify_what_a_run_is(here: Environment, key: str) -> None:
    with pytest.raises(UserError, match=f"can't change '{key}'"):
        expand.expand(SUITE, here, Changes(set={key: "x"}))


def test_set_of_a_profile_takes_only_what_a_profile_has(here: Environment) -> None:
    only_profile = SUITE.model_copy(update={"train": []})
    with pytest.raises(UserError, match="did you mean 'precision'"):
        expand.expand(only_profile, here, Changes(set={"precison": "bf16"}))
    with pytest.raises(UserError, match="did you mean 'tap'"):
        expand.expand(only_profile, here, Changes(set={"options": {"tapp": 16}}))


@pytest.mark.parametrize("wrong", [{"recipe": 3}, {"dataset_options": 3}])
def test_set_of_a_group_of_settings_to_one_value_is_an_error(here: Environment, wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="takes"):
        expand.expand(SUITE, here, Changes(set=wrong))


def test_numbers_are_numbers_however_they_are_written() -> None:
    assert overrides.nested({"options.epsilon": "1e-5", "pretrained": "x"}) == {
        "options": {"epsilon": 1e-5},
        "pretrained": "x",
    }


@pytest.mark.parametrize(
    ("short", "place"),
    [
        ("lr", ("recipe", "optimizer", "lr")),
        ("gamma", ("recipe", "schedule", "gamma")),
        ("mixup", ("recipe", "augment", "mixing", "mixup")),
        ("mixing.mixup", ("recipe", "augment", "mixing", "mixup")),
        ("mean", ("recipe", "scaling", "mean")),
        ("epochs", ("recipe", "epochs")),
        ("precision", ("precision",)),
    ],
)
def test_a_key_that_one_setting_alone_has_needs_no_path(short: str, place: tuple[str, ...]) -> None:
    value: Any = 1
    for key in reversed(place):
        value = {key: value}
    assert overrides.nested({short: "1"}) == value
    if "." not in short:
        assert overrides.in_recipe({short: 1}) == value


def test_a_key_of_several_settings_is_answered_with_all_of_them(here: Environment) -> None:
    said = r"can't change 'name'; name one of augment.policy.name, optimizer.name, schedule.name"
    with pytest.raises(UserError, match=said):
        expand.expand(SUITE, here, Changes(set=overrides.nested({"name": "cosine"})))
    with pytest.raises(ValidationError, match=said):
        Suite.model_validate({"about": "", "train": [SUITE.train[0].model_dump() | {"set": {"name": "cosine"}}]})


def test_epochs_that_no_phase_would_hear_of_are_refused(here: Environment) -> None:
    phases = {"classifier": {"epochs": 2}, "all": {"epochs": 3}}
    recipe = {"phases": phases, "epochs": 9}
    with pytest.raises(UserError, match=r"phases\.classifier\.epochs"):
        expand.expand(SUITE, here, Changes(set={"recipe": recipe}, only={"method": "bilinear_cnn"}))
