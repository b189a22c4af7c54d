"""Finding datasets by name, and the two readers of files: CUB's layout and people's own folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import Dataset, DatasetError, UnknownDataset, available, open_dataset, readers

REAL = Path(os.environ["FGBENCH_DATA"]) if os.environ.get("FGBENCH_DATA") else None
needs_real_images = pytest.mark.skipif(REAL is None, reason="FGBENCH_DATA names no folder with real images")


def draw(path: Path, size: tuple[int, int] = (12, 10), colour: str = "green") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """Three classes, five images whose ids have gaps and stand in no order, in CUB's layout."""
    folder = tmp_path / "birds"
    rows = [
        (7, "001.Auk/a.jpg", 1, 1),
        (3, "001.Auk/b.jpg", 1, 0),
        (40, "002.Coot_(black)/a.jpg", 2, 1),
        (41, "003.Owl/a.jpg", 3, 1),
        (9, "003.Owl/b c.jpg", 3, 0),
    ]
    for _, path, _, _ in rows:
        draw(folder / "images" / path)
    tables = {
        "images.txt": [f"{key} {path}" for key, path, _, _ in rows],
        "image_class_labels.txt": [f"{key} {label}" for key, _, label, _ in reversed(rows)],
        "train_test_split.txt": [f"{key} {train}" for key, _, _, train in rows],
        "classes.txt": ["1 001.Auk", "2 002.Coot_(black)", "3 003.Owl"],
        "bounding_boxes.txt": [f"{key} {key}.5 2.0 3.0 4.0" for key, _, _, _ in rows],
        "parts/parts.txt": ["1 beak", "2 left eye"],
        "parts/part_locs.txt": [f"{key} {part} {key}.0 {part}.5 {part % 2}" for key, *_ in rows for part in (1, 2)],
    }
    (folder / "parts").mkdir()
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines))  # no newline at the end, as in some copies
    return folder


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


# Names


def test_every_module_with_a_dataset_is_a_reader() -> None:
    assert {"synthetic", "cub_200_2011", "folder"} <= set(readers())
    assert "interface" not in readers()
    assert "storage" not in readers()


def test_a_reader_without_files_opens_without_a_root() -> None:
    dataset = open_dataset("synthetic", None, {"classes": 2, "train_per_class": 1, "test_per_class": 1})
    assert dataset.name == "synthetic"
    assert len(dataset) == 4


def test_a_folder_is_opened_by_the_reader_that_knows_its_layout(cub: Path) -> None:
    dataset = open_dataset("birds", cub.parent)
    assert type(dataset) is readers()["cub_200_2011"]
    assert dataset.name == "birds"


def test_a_reader_with_a_fixed_folder_is_opened_by_its_own_name(cub: Path) -> None:
    cub.rename(cub.with_name("CUB_200_2011"))
    assert open_dataset("cub_200_2011", cub.parent).name == "cub_200_2011"
    assert open_dataset("CUB_200_2011", cub.parent).name == "cub_200_2011", "one dataset, one name"
    assert available(cub.parent) == ["synthetic", "cub_200_2011"]


def test_available_lists_usable_folders_alone(cub: Path) -> None:
    (cub.parent / "empty").mkdir()
    draw(cub.parent / "mine" / "train" / "a" / "1.png")
    draw(cub.parent / ".hidden" / "train" / "a" / "1.png")
    assert available(cub.parent) == ["synthetic", "birds", "mine"]
    assert available(None) == available(cub / "nowhere") == ["synthetic"]


def test_an_unknown_name_lists_the_choices_and_the_nearest(cub: Path) -> None:
    with pytest.raises(UnknownDataset, match=r"'brids'.*did you mean 'birds'\?.*synthetic, birds") as caught:
        open_dataset("brids", cub.parent)
    assert caught.value.choices == ["synthetic", "birds"]
    with pytest.raises(UnknownDataset, match="no data folder was given"):
        open_dataset("birds", None)


def test_a_missing_fixed_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"CUB_200_2011 is missing; put"):
        open_dataset("cub_200_2011", tmp_path)


def test_a_folder_of_no_known_layout_is_told_what_would_be_read(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    with pytest.raises(DatasetError, match=r"odd has a layout that no reader knows; train/<class>"):
        open_dataset("odd", tmp_path)


def test_a_folder_of_two_layouts_is_refused(cub: Path) -> None:
    draw(cub / "train" / "a" / "1.png")
    with pytest.raises(DatasetError, match="layouts of cub_200_2011 and folder"):
        open_dataset("birds", cub.parent)


def test_an_unknown_option_names_the_nearest(cub: Path) -> None:
    with pytest.raises(DatasetError, match=r"no option 'clases': did you mean 'classes'\?"):
        open_dataset("synthetic", None, {"clases": 3})
    with pytest.raises(DatasetError, match=r"no option 'size'; it takes none"):
        open_dataset("birds", cub.parent, {"size": 3})


def test_opening_checks_the_table(tmp_path: Path) -> None:
    draw(tmp_path / "mine" / "train" / "a" / "1.png")
    draw(tmp_path / "mine" / "test" / "b" / "1.png")
    with pytest.raises(DatasetError, match="class 'b' has no training image"):
        open_dataset("mine", tmp_path)


# CUB's layout


def test_cub_tables_are_joined_by_id_whatever_their_order(cub: Path) -> None:
    dataset = open_dataset("birds", cub.parent)
    assert dataset.paths[0] == "001.Auk/a.jpg"
    assert dataset.paths[4] == "003.Owl/b c.jpg"
    assert dataset.labels.tolist() == [0, 0, 1, 2, 2]
    assert dataset.is_train.tolist() == [True, False, True, True, False]
    assert dataset.classes[1] == "002.Coot_(black)"
    assert dataset.boxes is not None
    assert dataset.boxes[:, 0].tolist() == [7.5, 3.5, 40.5, 41.5, 9.5]
    assert dataset.parts is not None
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
        ("image_class_labels.txt", "40 2", "40 4", r"image_class_labels.txt, line 3: class 4 is outside 1 .. 3"),
        ("image_class_labels.txt", "40 2", "40 0", r"line 3: class 0 is outside 1 .. 3"),
        ("image_class_labels.txt", "40 2", "40 two", r"line 3: 'two' should be a whole number"),
        ("image_class_labels.txt", "40 2\n", "", r"image_class_labels.txt: image 40 \(002.*no line here"),
        ("train_test_split.txt", "40 1", "44 1", r"train_test_split.txt, line 3: image 44 is not in images.txt"),
        ("train_test_split.txt", "40 1\n", "", r"train_test_split.txt: image 40 \(002.*no line here"),
        ("train_test_split.txt", "40 1", "40 2", r"train_test_split.txt, line 3: '2' should be 1 for train"),
        ("train_test_split.txt", "40 1", "41 1", r"line 4: image 41 stands in this file twice"),
        ("images.txt", "b.jpg", "gone.jpg", r"images/001.Auk/gone.jpg is not on disk; restore"),
        ("images.txt", "3 001.Auk/b.jpg", "3", r"images.txt, line 2: 2 fields were expected, not 1"),
        ("images.txt", "3 001", "7 001", r"images.txt, line 2: 7 is listed twice"),
        ("images.txt", "b.jpg", "a.jpg", r"images.txt, line 2: 001.Auk/a.jpg is listed twice"),
        ("classes.txt", "2 002", "5 002", r"classes.txt: class 2 of 1 .. 3 has no name"),
        ("classes.txt", "2 002", "1 002", r"classes.txt, line 2: class 1 is named twice"),
        ("bounding_boxes.txt", "3.0 4.0", "3.0", r"bounding_boxes.txt, line 1: 5 fields were expected, not 4"),
        ("bounding_boxes.txt", "7.5", "left", r"bounding_boxes.txt, line 1: 'left' should be a number"),
        ("parts/part_locs.txt", "7 2", "7 3", r"part_locs.txt, line 2: part 3 is outside 1 .. 2"),
    ],
)
def test_a_fault_in_a_cub_table_is_one_line_with_file_and_line(
    cub: Path, table: str, old: str, new: str, message: str
) -> None:
    change(cub / table, old, new)
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset("birds", cub.parent)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_cub_table_is_named(cub: Path) -> None:
    (cub / "classes.txt").write_bytes(b"1 \xff\xfe\n")
    with pytest.raises(DatasetError, match=r"classes.txt can't be read"):
        open_dataset("birds", cub.parent)
    (cub / "classes.txt").unlink()
    with pytest.raises(DatasetError, match=r"classes.txt can't be read.*restore it"):
        open_dataset("birds", cub.parent)
    (cub / "images.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"images.txt lists no image"):
        open_dataset("birds", cub.parent)


# People's own folders


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two classes as folders, with files beside the images that people have there."""
    folder = tmp_path / "own"
    for path in ("train/pear/1.jpg", "train/pear/2.PNG", "train/apple/1.webp", "test/apple/3.bmp", "test/pear/9.jpeg"):
        draw(folder / path)
    for junk in ("train/.DS_Store", "train/pear/Thumbs.db", "train/pear/._1.jpg", "test/notes.txt", "README.md"):
        (folder / junk).write_text("not an image")
    return folder


@pytest.fixture
def table(own: Path) -> Callable[..., Dataset]:
    """Opens `own` by an `images.csv` of these lines."""

    def open_with(*lines: str) -> Dataset:
        (own / "images.csv").write_text("\n".join(lines))
        return open_dataset("own", own.parent)

    return open_with


def test_folder_classes_are_sorted_by_name_and_junk_is_passed_over(own: Path) -> None:
    dataset = open_dataset("own", own.parent)
    assert dataset.classes == ("apple", "pear")
    assert dataset.table()[["path", "label", "split"]].to_numpy().tolist() == [
        ["train/apple/1.webp", 0, "train"],
        ["train/pear/1.jpg", 1, "train"],
        ["train/pear/2.PNG", 1, "train"],
        ["test/apple/3.bmp", 0, "test"],
        ["test/pear/9.jpeg", 1, "test"],
    ]
    assert dataset.image(0).shape == (10, 12, 3)


def test_val_stands_for_test_only_where_there_is_no_test(own: Path) -> None:
    draw(own / "val" / "apple" / "7.jpg")
    assert sum(path.startswith("val/") for path in open_dataset("own", own.parent).paths) == 0
    (own / "test").rename(own / "elsewhere")
    dataset = open_dataset("own", own.parent)
    assert [path for path, train in zip(dataset.paths, dataset.is_train, strict=True) if not train] == [
        "val/apple/7.jpg"
    ]


def test_faults_of_a_folder_are_named(own: Path) -> None:
    def fails(message: str) -> None:
        with pytest.raises(DatasetError, match=message) as caught:
            open_dataset("own", own.parent)
        assert "\n" not in str(caught.value)

    (own / "train" / "fig").mkdir()
    fails(r"train/fig holds no image; add some or remove the folder")
    (own / "train" / "fig").rmdir()
    draw(own / "test" / "fig" / "1.jpg")
    fails(r"test/fig/1.jpg: class 'fig' has no training image")
    draw(own / "train" / "fig" / "deep" / "1.jpg")
    fails(r"train/fig/deep is a folder within a class")
    (own / "train" / "fig" / "deep" / "1.jpg").rename(own / "train" / "fig" / "1.jpg")
    (own / "train" / "fig" / "deep").rmdir()
    (own / "train" / "fig" / "photo.heic").write_text("?")
    fails(r"photo.heic is not an image that can be read; convert it or remove it")
    (own / "train" / "fig" / "photo.heic").rename(own / "train" / "photo.jpg")
    fails(r"train/photo.jpg lies outside the class folders")
    (own / "train" / "photo.jpg").unlink()
    assert len(open_dataset("own", own.parent)) == 7
    (own / "test").rename(own / "elsewhere")
    fails(r"own has no test folder; put the test images into")
    (own / "test").mkdir()
    fails(r"test has no class folder")


def test_a_table_gives_labels_split_and_boxes(table: Callable[..., Dataset]) -> None:
    dataset = table(
        "path,label,split,x,y,width,height",
        "train/pear/1.jpg,Pear, train,1,2,3,4.5",
        'train\\apple\\1.webp,"Apple, red",train,0,0,1,1',
        "test/pear/9.jpeg,Pear,test,5,6,7,8",
    )
    assert dataset.classes == ("Apple, red", "Pear")
    assert dataset.paths == ("train/pear/1.jpg", "train/apple/1.webp", "test/pear/9.jpeg")
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.is_train.tolist() == [True, True, False]
    assert dataset.boxes is not None
    assert dataset.boxes.tolist() == [[1, 2, 3, 4.5], [0, 0, 1, 1], [5, 6, 7, 8]]


def test_val_lines_of_a_table_stand_for_test_only_where_there_is_none(table: Callable[..., Dataset]) -> None:
    lines = ["path,label,split", "train/pear/1.jpg,p,train", "train/pear/2.PNG,p,val"]
    assert table(*lines).is_train.tolist() == [True, False]
    assert table(*lines, "test/pear/9.jpeg,p,test").paths == ("train/pear/1.jpg", "test/pear/9.jpeg")


TWO = (("train/pear/1.jpg", "train"), ("test/pear/9.jpeg", "test"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,label", "train/pear/1.jpg,p"], r"images.csv has no column 'split'; it needs path, label, split"),
        (["path,label,split,x", "a,b,train,1"], r"no column 'y'"),
        (
            ["path,label,split", "train/pear/1.jpg,p,trian"],
            r"images.csv, line 2: split 'trian' should be train or test",
        ),
        (
            ["path,label,split", "train/pear/8.jpg,p,train", "test/pear/9.jpeg,p,test"],
            r"own/train/pear/8.jpg is not on disk; restore it or take it out of the dataset's table",
        ),
        (["path,label,split", "train/pear/1.jpg,,train"], r"line 2: train/pear/1.jpg has no label"),
        (["path,label,split", "../own/train/pear/1.jpg,p,train"], r"line 2: .* leads out of the folder"),
        (["path,label,split", *["train/pear/1.jpg,p,train"] * 2], r"line 3: 'train/pear/1.jpg' is listed twice"),
        (["path,label,split", "train/pear/1.jpg,p,train"], r"has no line with split test"),
        (["path,label,split", "train/pear/1.jpg,p,test"], r"class 'p' has no training image"),
        (
            ["path,label,split,x,y,width,height", "train/pear/1.jpg,p,train,1,2,3,", "test/pear/9.jpeg,p,test,1,1,1,1"],
            r"line 2: '' should be a number \(column height\)",
        ),
        (
            ["path,label,split,x,y,width,height", *(f"{path},p,{split},1,2,inf,3" for path, split in TWO)],
            r"line 2: 'inf' should be a number \(column width\)",
        ),
        (
            ["path,label,split", *(f"{path},p,{split}," for path, split in TWO)],
            r"line 2: 4 fields, and the first line names 3 columns; correct the line",
        ),
        (["path,label,split", "", " ", "train/pear/1.jpg,p,trian"], r"line 4: split 'trian'"),
        (["path,label,split,label", "train/pear/1.jpg,p,train,q"], r"has the column 'label' twice"),
        (["path,label,split", 'train/pear/1.jpg,"p'], r"can't be read as CSV"),
        ([], r"can't be read as CSV"),
    ],
)
def test_a_fault_in_a_table_is_one_line_with_file_and_line(
    table: Callable[..., Dataset], lines: list[str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        table(*lines)
    assert "\n" not in str(caught.value)


def test_a_table_may_be_saved_by_a_spreadsheet(table: Callable[..., Dataset]) -> None:
    """With a mark of its encoding, empty lines, and a name over two lines."""
    dataset = table(
        "\ufeffpath,label,split", "", 'train/pear/1.jpg,"red\npear",train', 'test/pear/9.jpeg,"red\npear",test'
    )
    assert dataset.classes == ("red\npear",)


# Real images


@needs_real_images
@pytest.mark.parametrize(
    ("name", "classes", "train", "test"), [("cub100", 100, 2999, 2903), ("flowers17", 17, 1020, 340)]
)
def test_real_images_have_their_counts(name: str, classes: int, train: int, test: int) -> None:
    dataset = open_dataset(name, REAL)
    assert len(dataset.classes) == classes
    assert dataset.is_train.sum() == train
    assert (~dataset.is_train).sum() == test
    assert dataset.image(0).shape[2] == 3


@needs_real_images
def test_real_photos_open_with_boxes_and_parts() -> None:
    dataset = open_dataset("cub200_photos", REAL)
    assert dataset.boxes is not None
    assert dataset.parts is not None
    height, width, _ = dataset.image(5).shape
    x, y, box_width, box_height = dataset.boxes[5]
    assert 0 <= x < x + box_width <= width
    assert 0 <= y < y + box_height <= height
    seen = dataset.parts.xy[5][dataset.parts.visible[5]]
    assert len(seen) > 5
    assert (seen < np.array([width, height])).all()
