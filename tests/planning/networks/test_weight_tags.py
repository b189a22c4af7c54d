"""timm's names with tags: understood wherever a backbone is named, and taken from the paper's recipe where none is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, suite_builders
from benchmarks.planning.method_files import PaperRecipe
from benchmarks.planning.overrides import NO_CHANGES, Changes
from benchmarks.planning.reference.experiments import experiments
from benchmarks.planning.suite import BackboneChoice, Suite
from methods.errors import BackboneError
from results.settings import AnyRun, Run
from tests.helpers.small_suites import only_suite_with_numbers

BIRDS = {"name": "synthetic", "options": {"classes": 3, "train_per_class": 2, "test_per_class": 1}}
TV, A1 = "resnet50.tv_in1k", "resnet50.a1_in1k"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of files that have nothing right but their names, which is all that planning needs."""
    names = ("resnet50", TV, A1, "inception_v3.tf_in1k", "inception_v3.tv_in1k", "vgg16.tv_in1k", "vgg11.tv_in1k")
    for name in names:
        (tmp_path / f"{name}.safetensors").write_text(name)
    return tmp_path


def runs(weights: Path, *, changes: Changes = NO_CHANGES, **entry: Any) -> list[AnyRun]:
    trained = {"methods": ["plain"], "datasets": [BIRDS], "seeds": 1, **entry}
    return expand.expand(Suite.model_validate({"about": "", "train": [trained]}), Environment(None, weights), changes)


def planned(weights: Path, *, changes: Changes = NO_CHANGES, **entry: Any) -> Run:
    (run,) = runs(weights, changes=changes, **entry)
    assert isinstance(run, Run)
    return run


def test_a_tag_in_the_name_chooses_the_weights_and_leaves_the_network_its_name(weights: Path) -> None:
    run = planned(weights, backbones=[TV])
    assert (run.backbone, run.pretrained) == ("resnet50", f"{TV}.safetensors")
    assert run == planned(weights, backbones=[{"name": "resnet50", "pretrained": f"{TV}.safetensors"}])
    assert run == planned(weights, backbones=[{"name": TV, "pretrained": TV}])
    assert planned(weights, backbones=["resnet50"]).pretrained == "resnet50.safetensors"


def test_the_tag_decides_the_scaling_and_the_networks_options(weights: Path) -> None:
    run = planned(weights, backbones=["inception_v3.tf_in1k"])
    assert (run.backbone_options, run.scaling.mean) == ({"count_include_pad": False}, (0.5, 0.5, 0.5))


def test_a_tag_that_timm_does_not_have_is_answered_with_the_nearest(weights: Path) -> None:
    with pytest.raises(BackboneError, match=r"nearest: resnet50.tv_in1k"):
        runs(weights, backbones=["resnet50.tv_in2k"])


def test_a_name_and_a_setting_that_contradict_each_other_are_refused(weights: Path) -> None:
    here, said = Environment(None, weights), f"{TV} names the weights to start from, and pretrained={A1} names others"
    with pytest.raises(ValidationError, match=said):
        BackboneChoice(name=TV, pretrained=A1)
    with pytest.raises(UserError, match=said):
        suite_builders.compare(["plain"], "synthetic", [TV], 1, here, {"pretrained": A1})
    with pytest.raises(UserError, match=said):
        suite_builders.targets("sef", here, backbone=TV, changes={"pretrained": A1})
    with pytest.raises(UserError, match=said):
        suite_builders.profile(["plain"], [TV], [64], [2], {"pretrained": A1})


def test_two_weights_of_one_network_are_compared_as_two_backbones(weights: Path) -> None:
    here = Environment(None, weights)
    chosen = suite_builders.trainings(["plain"], "synthetic", [TV, A1], 1, here, {})
    found = [run for run in expand.expand(chosen, here) if isinstance(run, Run)]
    assert [(run.backbone, run.pretrained) for run in found] == [
        ("resnet50", f"{TV}.safetensors"),
        ("resnet50", f"{A1}.safetensors"),
    ]
    assert len({run.id for run in found}) == 2


def test_what_a_suite_names_can_be_set_otherwise_as_any_of_its_settings(weights: Path) -> None:
    assert planned(weights, backbones=[TV], changes=Changes(set={"pretrained": "none"})).pretrained == "none"


@pytest.mark.parametrize(
    ("method", "taken"),
    [
        ("sef", TV),
        ("ws_dan", "inception_v3.tf_in1k"),
        ("ws_dan:released_guyuc", "inception_v3.tv_in1k"),
        ("bilinear_cnn", "vgg16.tv_in1k"),
    ],
)
def test_the_papers_recipe_starts_from_the_weights_that_it_names(weights: Path, method: str, taken: str) -> None:
    assert planned(weights, methods=[method], protocol="paper").pretrained == f"{taken}.safetensors"


def test_under_the_papers_recipe_no_other_file_of_the_network_is_taken_unasked(weights: Path) -> None:
    (weights / f"{TV}.safetensors").unlink()
    with pytest.raises(BackboneError, match=rf"{TV}.*--set pretrained=resnet50"):
        runs(weights, methods=["sef"], protocol="paper")
    asked = Changes(set={"pretrained": "resnet50"})
    assert planned(weights, methods=["sef"], protocol="paper", changes=asked).pretrained == "resnet50.safetensors"
    assert planned(weights, methods=["sef"], backbones=["resnet50"]).pretrained == "resnet50.safetensors"


def test_a_second_network_is_found_by_its_tag(weights: Path) -> None:
    run = planned(weights, methods=["bilinear_cnn:asymmetric"], protocol="paper")
    assert list(run.second_weights) == ["vgg11.tv_in1k"]


def test_a_plan_whose_second_network_has_no_weights_is_refused_with_the_command_that_gets_them(weights: Path) -> None:
    (weights / "vgg11.tv_in1k.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"weights fetch vgg11\.tv_in1k gets it"):
        runs(weights, methods=["bilinear_cnn:asymmetric"], protocol="paper")
    (target,) = suite_builders.targets("bilinear_cnn:asymmetric", Environment(None, weights))
    assert "vgg11.tv_in1k" in (target.weights_fault or "")
    without = Changes(set={"pretrained": "none"})
    assert planned(weights, methods=["bilinear_cnn:asymmetric"], protocol="paper", changes=without).second_weights == {}


def test_published_rows_are_found_for_a_backbone_with_a_tag(weights: Path) -> None:
    here = Environment(None, weights)
    (target,) = suite_builders.targets("sef:released", here, backbone=TV)
    assert (target.backbone, target.weights, target.weights_fault) == ("resnet50", TV, None)
    assert 87.3 in [row.value for row in target.rows]
    (other,) = suite_builders.targets("sef:released", here, backbone=A1)
    assert (other.rows, other.weights) == (target.rows, A1)
    (entry,) = suite_builders.reproduce("sef", [replace(target, dataset_fault=None, items=())], 1).train
    assert (entry.backbones[0].network, entry.backbones[0].weights) == ("resnet50", TV)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("resnet50", [TV, A1]), (TV, [TV]), ("resnet50.*_in1k", [TV, A1]), ("*.a1_in1k", [A1])],
)
def test_only_chooses_by_network_or_by_tag(weights: Path, pattern: str, kept: list[str]) -> None:
    chosen = runs(weights, backbones=[TV, A1], changes=Changes(only={"backbone": pattern}))
    assert [run.pretrained for run in chosen if isinstance(run, Run)] == [f"{name}.safetensors" for name in kept]


@pytest.mark.parametrize("folder", ["weights", "elsewhere"])
def test_speed_is_that_of_the_network_as_the_tag_needs_it_whether_or_not_its_file_is_here(
    weights: Path, folder: str
) -> None:
    here = Environment(None, weights if folder == "weights" else None)
    asked = suite_builders.profile(["plain"], ["inception_v3.tf_in1k"], [96], [2])
    (run,) = expand.expand(asked, here)
    assert (run.backbone, run.backbone_options) == ("inception_v3", {"count_include_pad": False})


def test_a_recipes_own_backbone_may_have_a_tag() -> None:
    recipe = PaperRecipe.model_validate({"backbone": TV, "recipe": {}})
    assert (recipe.backbone, recipe.weights) == ("resnet50", {"resnet50": TV})
    with pytest.raises(ValidationError, match="names two"):
        PaperRecipe.model_validate({"backbone": TV, "weights": {"resnet50": A1}, "recipe": {}})


def test_missing_weights_are_named_with_their_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry = {"methods": ["plain"], "datasets": [BIRDS], "backbones": [TV]}
    only_suite_with_numbers(monkeypatch, entry)
    (row, *papers) = experiments(Environment(tmp_path, tmp_path), NO_CHANGES)
    assert (row.lacking, row.names["backbone"]) == (f"synthetic, weights of {TV}", "resnet50")
    assert any(row.lacking == f"cub_200_2011, weights of {TV}" for row in papers)
