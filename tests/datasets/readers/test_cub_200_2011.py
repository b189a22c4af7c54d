"""The reader of CUB's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets import DatasetError, open_dataset
from tests.helpers.small_folders import change, cub_like, draw, fails


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    return cub_like(tmp_path / "birds")


def test_cub_tables_are_joined_by_id_whatever_their_order(cub: Path) -> None:
    dataset = open_dataset("birds", cub.parent)
    assert dataset.paths[0] == "001.Auk/a.jpg"
    assert dataset.paths[4] == "003.Owl/b c.jpg"
    assert dataset.labels.tolist() == [0, 0, 1, 2, 2]
    assert dataset.is_train.tolist() == [True, False, True, True, False]
    assert dataset.classes[1] == "002.Coot_(black)"
    assert dataset.boxes[:, 0].tolist() == [7.5, 3.5, 40.5, 41.5, 9.5]
    assert dataset.parts.names == ("beak", "left eye")
    assert dataset.parts.xy[2].tolist() == [[40.0, 1.5], [40.0, 2.5]]
    assert dataset.parts.visible[0].tolist() == [True, False]
    assert dataset.image(0).shape == (10, 12, 3)


def test_cub_boxes_and_parts_are_optional(cub: Path) -> None:
    (cub / "bounding_boxes.txt").unlink()
    (cub / "parts" / "part_locs.txt").unlink()
    dataset = open_dataset("birds", cub.parent)
    assert dataset.boxes is None
    assert dataset.parts is None


def test_a_replaced_image_changes_the_content_key_and_not_the_split(cub: Path) -> None:
    before = open_dataset("birds", cub.parent)
    key = before.content_key
    draw(cub / "images" / before.paths[0], (30, 30))
    after = open_dataset("birds", cub.parent)
    assert after.content_key != key
    assert after.split_hash == before.split_hash


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "image_class_labels.txt",
            "40 2",
            "40 4",
            r"image_class_labels.txt, line 3: class 4 is not in classes.txt",
        ),
        ("image_class_labels.txt", "40 2", "40 0", r"line 3: class 0 is not in classes.txt"),
        ("image_class_labels.txt", "40 2", "40 two", r"line 3: 'two' should be a whole number"),
        ("image_class_labels.txt", "40 2\n", "", r"image_class_labels.txt: image 40 \(002.*no line here"),
        ("train_test_split.txt", "40 1", "44 1", r"train_test_split.txt, line 3: image 44 is not in images.txt"),
        ("train_test_split.txt", "40 1\n", "", r"train_test_split.txt: image 40 \(002.*no line here"),
        ("train_test_split.txt", "40 1", "40 2", r"train_test_split.txt, line 3: '2' should be 1 for train"),
        ("train_test_split.txt", "40 1", "41 1", r"line 4: image 41 is listed twice"),
        ("images.txt", "b.jpg", "gone.jpg", r"images/001.Auk/gone.jpg is not on disk; restore"),
        ("images.txt", "3 001.Auk/b.jpg", "3", r"images.txt, line 2: 2 fields were expected, not 1"),
        ("images.txt", "3 001", "7 001", r"images.txt, line 2: 7 is listed twice"),
        ("images.txt", "b.jpg", "a.jpg", r"images.txt, line 2: 001.Auk/a.jpg is listed twice"),
        ("classes.txt", "2 002", "5 002", r"classes.txt: class 2 of 1 .. 3 has no name"),
        ("classes.txt", "2 002", "1 002", r"classes.txt, line 2: class 1 is named twice"),
        ("image_class_labels.txt", "7 1", f"7 1{'0' * 30}", r"image_class_labels.txt, line \d: '10+' is too large"),
    ],
)
def test_a_fault_in_a_cub_table_is_one_line_with_file_and_line(
    cub: Path, table: str, old: str, new: str, message: str
) -> None:
    change(cub / table, old, new)
    fails("birds", cub.parent, message)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("bounding_boxes.txt", "3.0 4.0", "3.0", r"bounding_boxes.txt, line 1: 5 fields were expected, not 4"),
        ("bounding_boxes.txt", "7.5", "left", r"bounding_boxes.txt, line 1: 'left' should be a number"),
        ("bounding_boxes.txt", "7.5", "1e300", r"bounding_boxes.txt, line 1: '1e300' is too large"),
        ("bounding_boxes.txt", "7.5", "nan", r"bounding_boxes.txt, line 1: 'nan' should be a finite number"),
        ("parts/part_locs.txt", "7 2", "7 3", r"part_locs.txt, line 2: part 3 is outside 1 .. 2"),
    ],
)
def test_boxes_and_part_points_are_read_and_checked_when_they_are_asked_for(
    cub: Path, table: str, old: str, new: str, message: str
) -> None:
    change(cub / table, old, new)
    dataset = open_dataset("birds", cub.parent)
    assert dataset.has_boxes
    assert dataset.part_names == ("beak", "left eye")
    with pytest.raises(DatasetError, match=message):
        _ = (dataset.boxes, dataset.parts)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_may_begin_with_a_byte_order_mark(cub: Path, encoding: str) -> None:
    plain = open_dataset("birds", cub.parent)
    for table in cub.rglob("*.txt"):
        table.write_text(table.read_text(), encoding=encoding)
    marked = open_dataset("birds", cub.parent)
    assert marked.classes == plain.classes
    assert marked.split_hash == plain.split_hash
    assert marked.boxes.tolist() == plain.boxes.tolist()
    assert marked.parts.names == plain.parts.names


def test_a_missing_or_unreadable_cub_table_is_named(cub: Path) -> None:
    (cub / "classes.txt").write_bytes(b"1 001.Auk\n2 002.H\xe4her\n")
    with pytest.raises(DatasetError, match=r"classes.txt, line 2: is not UTF-8 but probably Windows-1252.*H\xe4her"):
        open_dataset("birds", cub.parent)
    (cub / "classes.txt").unlink()
    with pytest.raises(DatasetError, match=r"classes.txt is missing; it belongs to the tables of CUB-200-2011"):
        open_dataset("birds", cub.parent)
    (cub / "images.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"images.txt lists no image"):
        open_dataset("birds", cub.parent)


def test_real_photos_open_with_boxes_and_parts(real_data: Path) -> None:
    dataset = open_dataset("cub200_photos", real_data)
    assert dataset.boxes is not None
    assert dataset.parts is not None
    height, width, _ = dataset.image(5).shape
    x, y, box_width, box_height = dataset.boxes[5]
    assert 0 <= x < x + box_width <= width
    assert 0 <= y < y + box_height <= height
    seen = dataset.parts.xy[5][dataset.parts.visible[5]]
    assert len(seen) > 5
    assert (seen < np.array([width, height])).all()


@pytest.mark.parametrize("path", ["../../secret.jpg", "/etc/secret.jpg", "001.Auk/../../../secret.jpg"])
def test_no_path_of_a_table_leads_out_of_the_folder(path: str, cub: Path) -> None:
    draw(cub.parent / "secret.jpg")
    change(cub / "images.txt", "001.Auk/a.jpg", path)
    fails("birds", cub.parent, "leads out of the folder")


def test_a_path_that_no_file_can_have_is_named(cub: Path) -> None:
    change(cub / "images.txt", "001.Auk/a.jpg", "a" * 300 + ".jpg")
    fails("birds", cub.parent, "no file can be called 'aaa")
