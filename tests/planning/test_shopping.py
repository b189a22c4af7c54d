"""What a plan lacks on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.environment import Environment
from benchmarks.planning import shopping, suite_builders
from benchmarks.planning.suite import DatasetChoice, Suite
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
