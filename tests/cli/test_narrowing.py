"""`--only` and `--set`: what they reach in trainings and in profiles, and how a wrong one is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from benchmarks.cli.views import preview
from benchmarks.config import parse
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.estimates import images
from benchmarks.planning import expand, overrides
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from results.settings import AnyRun, ProfileRun, Run
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained

TRAINING = {
    "methods": ["bilinear_cnn"],
    "datasets": [{"name": "synthetic", "options": {"classes": 3, "train_per_class": 2, "test_per_class": 1}}],
    "backbones": [{"name": "test_resnet", "pretrained": "none"}],
    "seeds": 1,
    "set": {"recipe": {"image_size": 96, "stored_size": 96, "epochs": 6}},
}
COST = {
    "methods": ["plain"],
    "backbones": ["test_resnet"],
    "image_sizes": [96, 64],
    "batch_sizes": [2],
    "compile": [False, True],
}


def expanded(
    environment: Environment, train: Any = (TRAINING,), profile: Any = (COST,), **changes: Any
) -> list[AnyRun]:
    if "set" in changes:
        changes["set"] = overrides.nested(changes["set"])
    return expand.expand(
        Suite.model_validate({"about": "x", "train": list(train), "profile": list(profile)}),
        environment,
        Changes(**changes),
    )


@pytest.mark.parametrize(
    ("only", "trainings", "profiles"),
    [
        ({"image_size": "96"}, 1, 2),
        ({"epochs": "6"}, 1, 0),
        ({"recipe.epochs": "6"}, 1, 0),
        ({"optimizer.name": "adam*"}, 1, 0),
        ({"optimizer": "sgd"}, 0, 4),
        ({"compile": "true", "image_size": "64"}, 0, 1),
        ({"compile": "False"}, 0, 2),
    ],
    ids=str,
)
def test_only_reaches_settings_and_those_of_recipes(
    only: dict[str, str], trainings: int, profiles: int, here: Environment
) -> None:
    runs = expanded(here, only=only)
    assert [sum(isinstance(run, kind) for run in runs) for kind in (Run, ProfileRun)] == [trainings, profiles]


@pytest.mark.parametrize(
    ("method", "tap"),
    [
        ("plain", {None, 16}),
        ("plain:paper", {None}),
        ("plain:stride_16", {16}),
        ("sef,plain:stride_*", {16}),
    ],
)
def test_only_takes_a_method_with_its_variant_as_a_plan_prints_it(
    here: Environment, tmp_path: Path, method: str, tap: set[int | None]
) -> None:
    entries = [one | {"methods": ["plain", "plain:stride_16"]} for one in (TRAINING, COST)]
    printed = {
        row["method"] for row in preview.rows(expanded(here, entries[:1], entries[1:]), ResultStore(tmp_path), here)
    }
    assert printed == {"plain", "plain:stride_16"}
    runs = expanded(here, entries[:1], entries[1:], only={"method": method})
    for kind in (Run, ProfileRun):
        assert {run.options.get("tap") for run in runs if isinstance(run, kind)} == tap


def test_a_variant_that_is_not_planned_is_answered_with_the_nearest(here: Environment) -> None:
    entry = TRAINING | {"methods": ["plain", "plain:stride_16"]}
    with pytest.raises(UserError, match="no Run of the plan has method=plain:stride16; did you mean 'plain:stride_16'"):
        expanded(here, [entry], (), only={"method": "plain:stride16"})


def test_only_names_no_setting_that_is_none(here: Environment) -> None:
    with pytest.raises(UserError, match="there is no setting 'in_sweep'") as caught:
        expanded(here, only={"in_sweep": "true"})
    assert str(caught.value).count("in_sweep") == 1


@pytest.mark.parametrize(
    ("column", "setting"),
    [
        ("px", "image_size"),
        ("weights", "pretrained"),
        ("batch", "batch_size"),
        ("seeds", "seed"),
        ("repeats", "repeat"),
    ],
)
def test_a_column_of_a_plan_leads_to_its_setting(here: Environment, tmp_path: Path, column: str, setting: str) -> None:
    assert any(column in row for row in preview.rows(expanded(here), ResultStore(tmp_path), here))
    with pytest.raises(UserError, match=f"no setting '{column}'; did you mean '{setting}'"):
        expanded(here, only={column: "64"})


def test_a_column_of_a_plan_leads_to_the_setting_to_change(here: Environment) -> None:
    with pytest.raises(UserError, match="can't change 'px'; did you mean 'image_size'"):
        expanded(here, profile=(), set={"px": "64"})


def test_a_profile_alone_takes_an_optimizer_by_name(here: Environment) -> None:
    runs = expanded(here, train=(), set={"optimizer": "adam"})
    assert {run.optimizer for run in runs if isinstance(run, ProfileRun)} == {"adam"}
    with pytest.raises(UserError, match="can't change 'epochs'"):
        expanded(here, train=(), set={"epochs": "3"})


def test_a_wrong_key_in_a_suites_profile_is_named(here: Environment) -> None:
    wrong = {"about": "x", "profile": [COST | {"set": {"optimiser": "adam"}}]}
    said = "mine.yaml: profile.0.set: can't change 'optimiser'; did you mean 'optimizer'"
    with pytest.raises(UserError, match=said):
        parse(Suite, wrong, "mine.yaml")


def test_a_suite_sets_what_a_recipe_has_as_the_command_line_does(here: Environment) -> None:
    entry = TRAINING | {"set": {"epochs": 4, "recipe": {"batch_size": 2}, "precision": "bf16"}}
    (run,) = expanded(here, train=[entry], profile=())
    assert isinstance(run, Run)
    assert (run.recipe.epochs, run.recipe.batch_size, run.precision) == (4, 2, "bf16")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epoch": 2}, "can't change 'epoch'; did you mean 'epochs'"),
        ({"recipe": {"epoch": 2}}, "recipe.epoch: unknown key; did you mean 'epochs'"),
        ({"optimizer": {"lrr": 2}}, "recipe.optimizer.lrr: unknown key; did you mean 'lr'"),
        ({"epochs": 0}, "recipe.epochs: input should be greater than 0"),
        ({"recipe": 3}, "recipe takes settings by name"),
    ],
    ids=str,
)
def test_what_a_suite_sets_wrongly_is_named_with_the_file_it_stands_in(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"mine.yaml: train.0.set: {said}"):
        parse(Suite, {"about": "x", "train": [TRAINING | {"set": wrong}]}, "mine.yaml")


@pytest.mark.parametrize(
    ("asked", "epochs"),
    [
        ({}, 6),
        ({"epochs": "9"}, 9),
        ({"phases.classifier.epochs": "2"}, 6),
        ({"phases.classifier.epochs": "2", "epochs": "9"}, 9),
    ],
    ids=str,
)
def test_epochs_are_those_of_all_phases_of_the_method(asked: dict[str, str], epochs: int, here: Environment) -> None:
    (run,) = expanded(here, profile=(), set=asked)
    assert isinstance(run, Run)
    assert expand.epochs_of(run.method, run.options, run.recipe) == epochs
    assert images.of_run(run, here).learnt == epochs * 6


def test_phases_that_a_method_does_not_have_or_has_no_epochs_for_are_refused_before_anything_runs(
    here: Environment,
) -> None:
    with pytest.raises(UserError, match="did you mean 'classifier'"):
        expanded(here, profile=(), set={"phases.clasifier.epochs": "2"})
    both = [TRAINING | {"methods": ["bilinear_cnn", "plain"]}]  # of which the second has one phase
    for only, fit in (({"method": "bilinear_cnn"}, 1), ({"method": "bilinear_cnn", "seed": "0"}, 1)):
        assert len(expanded(here, both, (), set={"phases.classifier.epochs": "2"}, only=only)) == fit
    with pytest.raises(UserError, match="too few for the phases"):
        expanded(here, profile=(), set={"epochs": "1"})


@pytest.mark.parametrize("flag", ["--only", "--set"])
def test_two_settings_behind_one_flag_are_refused_with_the_right_words(flag: str) -> None:
    with pytest.raises(UserError, match=f"{flag} method=plain,sef {flag} job=train"):
        overrides.parse_assignments(["method=plain,sef,job=train"], flag)
    assert overrides.parse_assignments(["method=plain,sef"], flag) == {"method": "plain,sef"}


@pytest.mark.parametrize(("flag", "advice"), [("--only", "; write several values as epochs=A,B"), ("--set", "")])
def test_only_what_takes_several_values_is_advised_to_be_given_them(flag: str, advice: str) -> None:
    with pytest.raises(UserError) as refused:
        overrides.parse_assignments(["epochs=5", "epochs=10"], flag)
    assert str(refused.value) == f"{flag} epochs is given twice{advice}"


OPTIONS: dict[str, dict[str, Any]] = {"paper": {}, "stride_16": {"tap": 16}}
"""Of two variants of plain."""


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        (["dataset=cub"], {"plain cub", "sef cub", "profile"}),
        (["dataset=cub", "method=sef"], {"sef cub"}),
        (["seed=1"], {"plain cars", "profile"}),
    ],
)
def test_a_report_may_be_on_some_runs_alone(tmp_path: Path, only: list[str], kept: set[str]) -> None:
    store = ResultStore(tmp_path / "results")
    records = [trained("plain", dataset="cub"), trained("sef", dataset="cub"), trained("plain", 1, dataset="cars")]
    fill(store, [*records, profiled("plain")])
    words = [word for one in only for word in ("--only", one)]
    done = CliRunner().invoke(run_all.app, ["report", "--results", str(store.root), *words])
    assert done.exit_code == 0, done.output
    runs = pd.read_csv(store.root / "report" / "runs.csv")
    named = runs["method"] + " " + runs["dataset"].astype(str)
    assert set(named.where(runs["job"] == "train", "profile")) == kept


def test_a_dotted_key_chooses_among_profiles_too(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    coarse, fine = (profiled("plain", variant=variant, options=options) for variant, options in OPTIONS.items())
    fill(store, [trained("plain", options={"tap": 16}), coarse, fine])
    done = CliRunner().invoke(run_all.app, ["report", "--results", str(tmp_path), "--only", "options.tap=16"])
    assert done.exit_code == 0, done.output
    runs = pd.read_csv(tmp_path / "report" / "runs.csv")
    assert set(runs.loc[runs["job"] == "profile", "variant"]) == {"stride_16"}


def test_a_report_on_no_run_names_the_nearest_value(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    fill(store, [trained("plain", dataset="cub"), profiled("plain")])
    done = CliRunner().invoke(run_all.app, ["report", "--results", str(tmp_path), "--only", "dataset=cup"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "no Run with a record has dataset=cup; did you mean 'cub'?"
    assert not (tmp_path / "report").exists()
