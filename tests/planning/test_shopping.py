"""What a plan lacks on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, shopping, suite_builders
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import BackboneChoice, DatasetChoice, Suite
from datasets import DatasetError
from methods.errors import BackboneError
from tests.helpers.small_folders import draw_noise

TWO_DATASETS = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {"methods": ["plain", "sef"], "datasets": ["stanford_dogs"], "backbones": ["test_resnet"]},
            {"methods": ["plain"], "datasets": ["nabirds", "synthetic"], "backbones": ["test_resnet"]},
        ],
        "profile": [
            {
                "methods": ["plain"],
                "backbones": ["test_resnet"],
                "image_sizes": [96],
                "dataset": {"name": "oxford_pets"},
            }
        ],
    }
)
WITHOUT = {"pretrained": "none"}


def names(environment: Environment, **only: str) -> list[str]:
    return [one.name for one in shopping.of_suite(TWO_DATASETS, environment, only, WITHOUT)]


def test_each_thing_is_listed_once_with_what_is_known_of_it(tmp_path: Path) -> None:
    items = shopping.of_suite(TWO_DATASETS, Environment(tmp_path), {}, WITHOUT)
    assert [item.name for item in items] == ["stanford_dogs", "nabirds", "oxford_pets"]
    dogs, birds, pets = items
    assert dogs.sources[0].endswith("/images.tar")
    assert pets.bytes == 791_918_971 + 19_173_078
    assert (birds.fetchable, birds.bytes) == (False, None)
    assert "https://dl.allaboutbirds.org/nabirds" in birds.sources[0]


def test_what_only_leaves_out_is_not_needed(tmp_path: Path) -> None:
    here = Environment(tmp_path)
    assert names(here, dataset="stanford_*") == ["stanford_dogs"]
    assert names(here, method="sef", seed="0") == ["stanford_dogs"], "a profile has no seed"
    assert names(here, job="profile") == ["oxford_pets"]


def test_what_is_here_is_not_needed_and_what_is_faulty_is_told_where_it_is_opened(cub: Path) -> None:
    root, choice = cub.parent, DatasetChoice(name="cub_200_2011")
    assert shopping.of_dataset(choice, Environment(root)) == []
    (cub / "classes.txt").unlink()
    assert shopping.of_dataset(choice, Environment(root / ".." / root.name)) == [], "under a name not opened yet"
    assert [item.name for item in shopping.of_dataset(choice, Environment(root / "other"))] == ["cub_200_2011"]


def test_a_folder_of_ones_own_can_not_be_got(tmp_path: Path) -> None:
    draw_noise(tmp_path / "mine" / "train" / "auk" / "1.png")
    assert shopping.of_dataset(DatasetChoice(name="mine"), Environment(tmp_path)) == []


@pytest.mark.parametrize("named", ["cub_200_2011", None])
def test_a_reproduction_needs_what_its_rows_need(tmp_path: Path, named: str | None) -> None:
    (target,) = suite_builders.targets("sef:released", Environment(tmp_path), named, "resnet50", changes=WITHOUT)
    assert [item.name for item in target.items] == ["cub_200_2011"]
    assert (target.lacking, target.faults) == ("needs dataset cub_200_2011", [])


def test_weights_are_those_of_the_recipe_the_tag_or_the_option_and_those_of_a_second_network(tmp_path: Path) -> None:
    def listed(method: str, backbone: str, **changes: str) -> list[str]:
        items = shopping.of_weights(method, BackboneChoice(name=backbone), Environment(None, tmp_path), changes=changes)
        return [item.name for item in items]

    assert listed("sef", "resnet50") == ["resnet50.tv_in1k"]
    assert listed("sef", "resnet50.a1_in1k") == ["resnet50.a1_in1k"]
    assert listed("sef", "resnet50", pretrained="resnet50.a2_in1k") == ["resnet50.a2_in1k"]
    assert listed("sef", "resnet50", pretrained="none") == []
    assert listed("bilinear_cnn:asymmetric", "vgg16") == ["vgg16.tv_in1k", "vgg11.tv_in1k"]
    (tmp_path / "resnet50.tv_in1k.safetensors").write_bytes(b"here")
    assert listed("sef", "resnet50") == []


def test_weights_that_the_hub_does_not_have_can_not_be_fetched(tmp_path: Path) -> None:
    (item,) = shopping.of_weights(
        "plain", BackboneChoice(name="resnet50"), Environment(None, tmp_path), changes={"pretrained": "mine.pth"}
    )
    assert (item.name, item.fetchable, item.folder) == ("mine.pth", False, tmp_path)
    assert item.sources == (
        "it is not published; only Runs on resnet50 need it, and --set pretrained=NAME takes another",
    )
    with pytest.raises(BackboneError, match="resnet50"):
        shopping.of_weights("plain", BackboneChoice(name="resnt50"), Environment(None, tmp_path))


def test_a_plan_needs_nothing_that_only_leaves_out(tmp_path: Path) -> None:
    changes = Changes(set=WITHOUT, only={"dataset": "synthetic"})
    assert {run.dataset for run in expand.expand(TWO_DATASETS, Environment(tmp_path), changes)} == {"synthetic"}
    with pytest.raises(DatasetError, match="nabirds"):
        expand.expand(TWO_DATASETS, Environment(tmp_path), replace(changes, only={"dataset": "nabirds"}))
    with pytest.raises(UserError, match="no Run of the plan has dataset=nabirsd"):
        expand.expand(TWO_DATASETS, Environment(tmp_path), replace(changes, only={"dataset": "nabirsd"}))
