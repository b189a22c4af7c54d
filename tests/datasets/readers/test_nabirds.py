"""NABirds: class ids with gaps, and tables whose lines are in any order."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from datasets import DatasetError, available, open_dataset, reader_classes
from tests.helpers.small_folders import change, write_tables

NAMES = {
    0: "Birds",
    2: "Ducks, Geese, and Swans",
    4: "Hawks, Kites, and Eagles",
    6: "Common Eider",
    31: "Red-tailed Hawk",
    295: "Common Eider (Adult male)",
    817: "Common Eider (Female/juvenile)",
    1008: "Red-tailed Hawk (Dark morph )",
}
IMAGES = [
    ("b0000000-0001", "1008/b00000000001.jpg", 1008, 1),
    ("00000000-0002", "0295/000000000002.jpg", 295, 0),
    ("a0000000-0003", "0817/a00000000003.jpg", 817, 1),
    ("00000000-0004", "0295/000000000004.jpg", 295, 1),
]
"""id, path, class, train"""


@pytest.fixture
def nabirds(tmp_path: Path) -> Path:
    """Four images of three leaves in NABirds' layout."""
    folder = tmp_path / "nabirds"
    for place, (_, path, _, _) in enumerate(IMAGES):
        (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if place == 0 else "RGB", (20, 10)).save(folder / "images" / path)
    tables = {
        "images.txt": [f"{key} {path}" for key, path, _, _ in IMAGES],
        "image_class_labels.txt": [f"{key} {label}" for key, _, label, _ in reversed(IMAGES)],
        "train_test_split.txt": [f"{key} {train}" for key, _, _, train in sorted(IMAGES)],
        "classes.txt": [f"{key} {name} " for key, name in NAMES.items()],
        "hierarchy.txt": ["295 6", "817 6", "1008 31", "6 2", "31 4", "2 0", "4 0"],
        "bounding_boxes.txt": [f"{key} {place} 1 7 8" for place, (key, *_) in enumerate(IMAGES)],
        "sizes.txt": [f"{key} 20 10" for key, *_ in IMAGES],
        "parts/parts.txt": ["0 bill", "1 left wing"],
        "parts/part_locs.txt": [
            f"{key} {part} {10 * place + part} 3 {1 - part}"
            for place, (key, *_) in enumerate(IMAGES)
            for part in (1, 0)
        ],
    }
    write_tables(folder, tables)
    return folder


def test_class_ids_with_gaps_become_labels_in_the_order_of_numbers(nabirds: Path) -> None:
    dataset = open_dataset("nabirds", nabirds.parent)
    # As words 1008 would come before 295.
    assert dataset.classes == (
        "Common Eider (Adult male)",
        "Common Eider (Female/juvenile)",
        "Red-tailed Hawk (Dark morph )",
    )
    assert dataset.labels.tolist() == [2, 0, 1, 0]
    assert dataset.labels.dtype == "int64"


def test_tables_are_joined_by_uuid_whatever_their_order_and_parts_count_from_0(nabirds: Path) -> None:
    dataset = open_dataset("nabirds", nabirds.parent)
    assert dataset.paths == tuple(path for _, path, _, _ in IMAGES)
    assert dataset.is_train.tolist() == [True, False, True, True]
    assert dataset.boxes.tolist() == [[place, 1, 7, 8] for place in range(4)]
    assert dataset.image(0).shape == dataset.image(1).shape == (10, 20, 3)
    assert dataset.parts.names == ("bill", "left wing")
    assert dataset.parts.xy[3].tolist() == [[30, 3], [31, 3]]
    assert dataset.parts.visible[0].tolist() == [True, False]


def test_boxes_that_end_beyond_the_image_are_clipped_to_the_stated_size(nabirds: Path) -> None:
    change(nabirds / "bounding_boxes.txt", "1 1 7 8", "15 4 7 8")
    assert open_dataset("nabirds", nabirds.parent).boxes[:2].tolist() == [[0, 1, 7, 8], [15, 4, 5, 6]]
    (nabirds / "sizes.txt").unlink()
    assert open_dataset("nabirds", nabirds.parent).boxes[1].tolist() == [15, 4, 7, 8], "its size is not known"


def test_labels_come_from_the_table_and_not_from_the_folders(nabirds: Path) -> None:
    (nabirds / "images" / "0295").rename(nabirds / "images" / "295")
    change(nabirds / "images.txt", "0295/000000000002.jpg", "295/000000000002.jpg")
    change(nabirds / "images.txt", "0295/000000000004.jpg", "295/000000000004.jpg")
    assert open_dataset("nabirds", nabirds.parent).labels.tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("parts/part_locs.txt", " 1 1 ", " 2 1 ", r"part_locs.txt, line 1: part 2 is outside 0 .. 1"),
        ("parts/parts.txt", "0 bill", "2 bill", r"parts.txt: part 0 of 0 .. 1 has no name"),
    ],
)
def test_a_fault_in_parts_counted_from_0_is_one_line_with_its_file(
    nabirds: Path, table: str, old: str, new: str, message: str
) -> None:
    change(nabirds / table, old, new)
    with pytest.raises(DatasetError, match=message) as caught:
        _ = open_dataset("nabirds", nabirds.parent).parts
    assert "\n" not in str(caught.value)


def test_the_layout_is_told_from_that_of_cub(nabirds: Path) -> None:
    assert available(nabirds.parent) == ["synthetic", "nabirds"]
    nabirds.rename(nabirds.with_name("some_birds"))
    dataset = open_dataset("some_birds", nabirds.parent)
    assert type(dataset) is reader_classes()["nabirds"]
    assert dataset.expected is None, "only the release is held to its counts"
