"""Input scaling: resolved at planning from the recipe or the weights, and said where it is not ImageNet's."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError

from benchmarks.cli.views import preview
from benchmarks.environment import Environment
from benchmarks.planning import expand
from benchmarks.planning.overrides import nested
from benchmarks.planning.suite import Suite
from methods.errors import BackboneError
from results.augmentation import InputScaling
from results.settings import Run
from results.store import ResultStore

HALF = InputScaling(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
OWN = InputScaling(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def planned(folder: Path, pretrained: str = "auto", **changes: object) -> Run:
    """A training of `test_resnet`, whose weights want 0.5 / 0.5 by timm's `pretrained_cfg`."""
    entry = {
        "methods": ["plain"],
        "datasets": [{"name": "synthetic", "options": {"classes": 3}}],
        "backbones": [{"name": "test_resnet", "pretrained": pretrained}],
        "seeds": 1,
        "set": changes,
    }
    (run,) = expand.expand(Suite.model_validate({"about": "", "train": [entry]}), Environment(weights_root=folder))
    assert isinstance(run, Run)
    return run


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "test_resnet.r160_in1k.pth")
    return tmp_path


def test_the_weights_decide_unless_the_recipe_does(weights: Path) -> None:
    assert planned(weights).scaling == HALF
    assert planned(weights, recipe={"scaling": OWN.model_dump()}).scaling == OWN
    assert planned(weights, "test_resnet_birds").scaling == InputScaling()  # known by its content
    assert planned(weights, "none").scaling == InputScaling()


def test_it_is_set_by_hand_like_any_setting_of_a_recipe() -> None:
    text = "{mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4]}"
    assert nested({"scaling": text}) == {"recipe": {"scaling": {"mean": list(OWN.mean), "std": list(OWN.std)}}}
    with pytest.raises(ValidationError, match=r"scaling\.std: must be positive"):
        planned(Path(), "none", scaling={"std": [0.5, 0.5, 0]})


def test_imagenets_leaves_the_hash_of_earlier_runs_as_it_was(weights: Path) -> None:
    run = planned(weights, "none")
    assert "scaling" not in run.settings
    assert run.model_copy(update={"scaling": HALF}).hash != run.hash


def test_a_preview_says_it_where_it_is_not_imagenets(weights: Path) -> None:
    runs, store = [planned(weights), planned(weights, "none")], ResultStore(weights / "results")
    rows = preview.rows(runs, store, Environment(weights_root=weights))
    assert [row.get("scaling") for row in rows] == ["mean 0.5 0.5 0.5, std 0.5 0.5 0.5", None]


@pytest.mark.parametrize("option", ["checkpoint_path", "pretrained_cfg_overlay", "cache_dir"])
def test_a_plan_refuses_options_of_timm_that_load_files(option: str) -> None:
    with pytest.raises(BackboneError, match=f"test_resnet has no option '{option}'"):
        planned(Path(), "none", backbone_options={option: "weights.pth"})
    network = {"name": "test_resnet", "options": {option: "weights.pth"}}
    profile = {"methods": ["plain"], "backbones": [network], "image_sizes": [32], "batch_sizes": [2]}
    with pytest.raises(BackboneError, match=f"test_resnet has no option '{option}'"):
        expand.expand(Suite.model_validate({"about": "", "profile": [profile]}), Environment())
