"""Options of every dataset: `classes` keeps some, `crop: box` cuts each image to its box."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.environment import Environment
from benchmarks.planning import expand, suite_builders
from benchmarks.planning.overrides import Changes
from datasets import DatasetError, open_dataset
from datasets.loading.store import open_store
from datasets.readers.cub_200_2011 import CUB
from results.settings import Run, task
from tests.helpers.small_folders import change, cub_like, draw_noise, fails, small_cub, write_tables

BOX = {"crop": "box"}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Six images of 50 × 40 px in CUB's layout; boxes in whole pixels but one, and part points."""
    folder = small_cub(tmp_path / "made").rename(tmp_path / "birds")
    boxes = ["10.0 5.0 20.0 30.0", "0.0 0.0 50.0 40.0", "3.25 4.5 10.5 11.0", *["1.0 2.0 8.0 9.0"] * 3]
    write_tables(
        folder,
        {
            "bounding_boxes.txt": [f"{number} {box}" for number, box in enumerate(boxes, start=1)],
            "parts/parts.txt": ["1 beak", "2 tail"],
            "parts/part_locs.txt": [
                line for number in range(1, 7) for line in (f"{number} 1 12.0 9.0 1", f"{number} 2 45.0 9.0 1")
            ],
        },
    )
    return folder


# Cuts


def test_an_image_is_cut_to_the_smallest_whole_pixels_that_hold_its_box(birds: Path) -> None:
    whole, cut = open_dataset("birds", birds.parent), open_dataset("birds", birds.parent, BOX)
    np.testing.assert_array_equal(cut.image(0), whole.image(0)[5:35, 10:30])
    np.testing.assert_array_equal(cut.image(1), whole.image(1))
    np.testing.assert_array_equal(cut.image(2), whole.image(2)[4:16, 3:14])
    assert (cut.paths, cut.classes, cut.split_hash) == (whole.paths, whole.classes, whole.split_hash)


def test_boxes_and_parts_move_with_the_cut(birds: Path) -> None:
    cut = open_dataset("birds", birds.parent, BOX)
    assert cut.boxes is not None
    assert cut.boxes[[0, 2]].tolist() == [[0, 0, 20, 30], [0, 0, 11, 12]]
    assert cut.parts is not None
    assert cut.parts.xy[0].tolist() == [[2, 4], [35, 4]]
    assert cut.parts.visible[:2].tolist() == [[True, False], [True, True]], "the tail lies outside of the first cut"
    assert (cut.has_boxes, cut.part_names) == (True, ("beak", "tail"))


def test_a_box_that_ends_beyond_the_image_is_cut_at_its_border(birds: Path) -> None:
    change(birds / "bounding_boxes.txt", "1 10.0 5.0 20.0 30.0", "1 -4.0 5.0 9e18 30.0")
    assert open_dataset("birds", birds.parent, BOX).image(0).shape == (30, 50, 3)


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ("10.0 5.0 -20.0 30.0", "has a negative side"),
        ("10.0 5.0 0.0 30.0", "is empty"),
        ("0.1 0.1 0.5 0.5", "is a fraction of the image and not in pixels"),
        ("10.0 45.0 20.0 30.0", r"is outside the image \(50 × 40\)"),
    ],
)
def test_a_box_that_is_none_is_named_with_its_image(birds: Path, box: str, what: str) -> None:
    change(birds / "bounding_boxes.txt", "1 10.0 5.0 20.0 30.0", f"1 {box}")
    with pytest.raises(DatasetError, match=rf"001.Auk/a.jpg: box .* {what}, so it can't be cut; correct it: data ver"):
        open_dataset("birds", birds.parent, BOX).image(0)


def test_a_faulty_box_is_found_before_an_image_is_decoded(birds: Path) -> None:
    change(birds / "bounding_boxes.txt", "6 1.0 2.0 8.0 9.0", "6 1.0 2.0 0.0 9.0")
    with pytest.raises(DatasetError, match=r"003\.Owl/b\.jpg: box 1, 2, 0, 9 is empty"):
        _ = open_dataset("birds", birds.parent, BOX).images_sha256


def test_verify_reads_the_cuts(birds: Path, fgbench: Callable[..., tuple[int, str]]) -> None:
    change(birds / "bounding_boxes.txt", "1 10.0 5.0 20.0 30.0", "1 10.0 45.0 20.0 30.0")
    code, said = fgbench("data", "verify", "birds:box", "--json", "--data", birds.parent)
    (found,) = json.loads(said)
    assert code == 1
    assert found["name"] == "birds:box"
    assert [fault["kind"] for fault in found["faults"]] == ["damaged"]
    assert found["folder"] == str(birds / "images")


def test_drawn_images_are_cut_too() -> None:
    small = {"classes": 2, "train_per_class": 1, "test_per_class": 1, "size": 32}
    whole, cut = open_dataset("synthetic", options=small), open_dataset("synthetic", options=small | BOX)
    assert whole.boxes is not None
    assert cut.boxes is not None
    assert cut.image(0).shape[:2] == tuple(cut.boxes[0, [3, 2]])
    assert cut.image(0).size < whole.image(0).size
    assert cut.content_key != whole.content_key


# Classes


def test_classes_are_kept_in_the_order_of_the_dataset(birds: Path) -> None:
    kept = open_dataset("birds", birds.parent, {"classes": ["003.Owl", "001.Auk"]})
    assert kept.classes == ("001.Auk", "003.Owl")
    assert kept.labels.tolist() == [0, 0, 1, 1]
    assert kept.paths == ("001.Auk/a.jpg", "001.Auk/b.jpg", "003.Owl/a.jpg", "003.Owl/b.jpg")
    assert kept.is_train.tolist() == [True, False, True, False]
    whole = open_dataset("birds", birds.parent)
    np.testing.assert_array_equal(kept.image(2), whole.image(4))
    assert kept.boxes is not None
    assert kept.boxes[0].tolist() == [10, 5, 20, 30]


def test_images_of_other_classes_need_not_be_there(birds: Path) -> None:
    (birds / "images" / "002.Coot" / "a.jpg").unlink()
    assert len(open_dataset("birds", birds.parent, {"classes": ["001.Auk", "003.Owl"]})) == 4
    fails("birds", birds.parent, r"002.Coot/a.jpg is not on disk")


def test_a_reader_with_an_option_of_that_name_keeps_it() -> None:
    assert len(open_dataset("synthetic", options={"classes": 3, "train_per_class": 1}).classes) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["001.Auk", "002.Cot"]}, r"birds has no class '002.Cot'; did you mean '002.Coot'\?"),
        ({"classes": ["001.Auk", "001.Auk"]}, "names '001.Auk' twice"),
        ({"classes": "001.Auk"}, "takes a list of class names, not '001.Auk'"),
        ({"classes": []}, r"takes a list of class names, not \[\]"),
        ({"crop": "bbox"}, "the option crop takes box, not 'bbox'"),
    ],
)
def test_wrong_values_are_told(birds: Path, options: dict[str, Any], message: str) -> None:
    fails("birds", birds.parent, message, options)


def test_a_dataset_without_boxes_refuses_to_cut(tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw_noise(tmp_path / "mine" / split / "a" / "1.png")
    fails("mine", tmp_path, "mine has no boxes to cut its images to; leave crop out", BOX)


# What they are


def test_each_choice_has_its_own_store_and_hash_of_images(birds: Path, tmp_path: Path) -> None:
    def of(options: dict[str, Any]) -> tuple[str, str | None]:
        dataset = open_dataset("birds", birds.parent, options)
        return open_store(dataset, 8, "squash", cache=tmp_path / "cache").folder.name, dataset.images_sha256

    choices: list[dict[str, Any]] = [{}, BOX, {"classes": ["001.Auk"]}, {"classes": ["001.Auk"], **BOX}]
    before = [of(choice) for choice in choices]
    assert len(set(before)) == len({images for _, images in before}) == 4
    change(birds / "bounding_boxes.txt", "1 10.0 5.0 20.0 30.0", "1 10.0 5.0 21.0 30.0")
    after = [of(choice) for choice in choices]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, False]


def test_a_cut_dataset_is_on_its_official_split_and_a_part_of_another_split_is_refused(
    birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cub = birds.rename(birds.with_name("CUB_200_2011"))
    fails("cub_200_2011", cub.parent, "has no option 'corp': did you mean 'crop'", {"corp": "box"})
    cut = open_dataset("cub_200_2011", cub.parent, BOX)
    assert cut.expected == CUB.expected
    for options in (BOX, {"classes": ["001.Auk", "002.Coot"]}):
        with pytest.raises(DatasetError, match="not on its official split: 3 classes in place of 200"):
            open_dataset("cub_200_2011", cub.parent, options).require_split(None)


def test_a_choice_is_another_task_with_a_short_name(birds: Path) -> None:
    many = {"classes": [f"{number:03d}.Bird" for number in range(100)]}
    names = [task("cub", options) for options in ({}, BOX, many, {**many, **BOX}, {"classes": many["classes"][1:]})]
    assert len(set(names)) == 5
    assert names[1] == "cub:box"
    assert names[2].startswith("cub:100-classes-")
    assert max(map(len, names)) < 40
    environment, ids = Environment(birds.parent), []
    for name, options in (("birds", BOX), ("birds:box", {})):
        changes = {"pretrained": "none", "dataset_options": options}
        suite = suite_builders.compare(["plain"], name, ["test_resnet"], 1, environment, changes)
        ids += [run.id for run in expand.expand(suite, environment, Changes(set=changes)) if isinstance(run, Run)]
    assert "birds_box-test_resnet" in ids[0]
    assert ids[0] == ids[1], "however it is asked for"


def test_without_the_options_nothing_is_narrowed(tmp_path: Path) -> None:
    cub_like(tmp_path / "birds")
    assert type(open_dataset("birds", tmp_path)) is CUB
