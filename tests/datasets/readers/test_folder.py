"""The reader of people's own images: class folders, or one CSV table."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import Dataset, DatasetError, open_dataset
from tests.helpers.small_folders import draw, fails


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
    assert list(zip(dataset.paths, dataset.labels.tolist(), dataset.is_train.tolist(), strict=True)) == [
        ("train/apple/1.webp", 0, True),
        ("train/pear/1.jpg", 1, True),
        ("train/pear/2.PNG", 1, True),
        ("test/apple/3.bmp", 0, False),
        ("test/pear/9.jpeg", 1, False),
    ]
    assert dataset.image(0).shape == (10, 12, 3)


def test_val_is_the_test_set_only_without_test(own: Path) -> None:
    draw(own / "val" / "apple" / "7.jpg")
    assert sum(path.startswith("val/") for path in open_dataset("own", own.parent).paths) == 0
    (own / "test").rename(own / "elsewhere")
    dataset = open_dataset("own", own.parent)
    assert [path for path, train in zip(dataset.paths, dataset.is_train, strict=True) if not train] == [
        "val/apple/7.jpg"
    ]


def test_faults_of_a_folder_are_named(own: Path) -> None:
    (own / "train" / "fig").mkdir()
    fails("own", own.parent, r"train/fig holds no image; add some or remove the folder")
    (own / "train" / "fig").rmdir()
    draw(own / "test" / "fig" / "1.jpg")
    fails(
        "own", own.parent, r"own: class 'fig' has no training image; add some, or remove the class from the test images"
    )
    draw(own / "train" / "fig" / "deep" / "1.jpg")
    fails("own", own.parent, r"train/fig/deep is a folder within a class")
    (own / "train" / "fig" / "deep" / "1.jpg").rename(own / "train" / "fig" / "1.jpg")
    (own / "train" / "fig" / "deep").rmdir()
    (own / "train" / "fig" / "photo.heic").write_text("?")
    fails("own", own.parent, r"photo.heic is not an image that can be read; convert it or remove it")
    (own / "train" / "fig" / "photo.heic").rename(own / "train" / "photo.jpg")
    fails("own", own.parent, r"train/photo.jpg lies outside the class folders")
    (own / "train" / "photo.jpg").unlink()
    assert len(open_dataset("own", own.parent)) == 7
    (own / "test").rename(own / "elsewhere")
    fails("own", own.parent, r"own has no test folder; put the test images into")
    (own / "test").mkdir()
    fails("own", own.parent, r"test has no class folder")


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
    assert dataset.boxes.tolist() == [[1, 2, 3, 4.5], [0, 0, 1, 1], [5, 6, 7, 8]]


def test_val_lines_of_a_table_are_the_test_set_only_without_test(table: Callable[..., Dataset]) -> None:
    lines = ["path,label,split", "train/pear/1.jpg,p,train", "train/pear/2.PNG,p,val"]
    assert table(*lines).is_train.tolist() == [True, False]
    assert table(*lines, "test/pear/9.jpeg,p,test").paths == ("train/pear/1.jpg", "test/pear/9.jpeg")


HEAD, BOXED = "path,label,split", "path,label,split,x,y,width,height"
TWO = (("train/pear/1.jpg", "train"), ("test/pear/9.jpeg", "test"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,label", "train/pear/1.jpg,p"], r"images.csv has no column 'split'; it needs path, label, split"),
        (["path,label,split,x", "a,b,train,1"], r"no column 'y'"),
        ([HEAD, "train/pear/1.jpg,p,trian"], r"images.csv, line 2: split 'trian' should be train or test"),
        (
            [HEAD, "train/pear/8.jpg,p,train", "test/pear/9.jpeg,p,test"],
            r"own/train/pear/8.jpg is not on disk; restore it or take it out of the dataset's table",
        ),
        (
            [HEAD, "a.jpg,p,trian", "b.jpg,,train", "c.jpg,p,train"],
            r"line 2: split 'trian' .* \(2 lines have faults\)$",
        ),
        ([HEAD, "train/pear/1.jpg,,train"], r"line 2: train/pear/1.jpg has no label"),
        ([HEAD, ",p,train"], r"line 2: the path is empty; fill it in"),
        ([HEAD, "../own/train/pear/1.jpg,p,train"], r"line 2: .* leads out of the folder"),
        ([HEAD, *["train/pear/1.jpg,p,train"] * 2], r"line 3: 'train/pear/1.jpg' is listed twice"),
        ([HEAD, "train/pear/1.jpg,p,train"], r"has no line with split test"),
        ([HEAD, "train/pear/1.jpg,p,test"], r"class 'p' has no training image"),
        (
            [BOXED, "train/pear/1.jpg,p,train,1,2,3,", "test/pear/9.jpeg,p,test,1,1,1,1"],
            r"line 2: '' should be a number \(column height\)",
        ),
        (
            [BOXED, *(f"{path},p,{split},1,2,inf,3" for path, split in TWO)],
            r"line 2: 'inf' should be a number \(column width\)",
        ),
        (
            [BOXED, *(f"{path},p,{split},1,2,1e300,3" for path, split in TWO)],
            r"line 2: '1e300' should be a number \(column width\)",
        ),
        (
            [HEAD, *(f"{path},p,{split}," for path, split in TWO)],
            r"line 2: 4 fields, but the first line names 3 columns; correct the line",
        ),
        ([HEAD, "", " ", "train/pear/1.jpg,p,trian"], r"line 4: split 'trian'"),
        (["path,label,split,label", "train/pear/1.jpg,p,train,q"], r"has the column 'label' twice"),
        ([HEAD, 'train/pear/1.jpg,"p'], r"can't be read as CSV"),
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


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "TESTING"), ("training", "testing")])
def test_splits_are_known_by_the_words_that_people_use(own: Path, train: str, test: str) -> None:
    (own / "train").rename(own / train)
    (own / "test").rename(own / test)
    assert open_dataset("own", own.parent).counts == {"classes": 2, "train": 3, "test": 2}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid"])
def test_all_words_for_val_mean_the_same_and_what_became_of_it_is_remarked(own: Path, name: str) -> None:
    draw(own / name / "apple" / "7.jpg")
    dataset = open_dataset("own", own.parent)
    assert dataset.counts["test"] == 2
    assert dataset.remarks == (f"{name}/ is not used: validation images are taken from the training images",)
    (own / "test").rename(own / "elsewhere")
    dataset = open_dataset("own", own.parent)
    assert dataset.counts["test"] == 1
    assert dataset.remarks == (f"{name}/ is the test set, since there is no test; nothing is chosen on it",)


def test_two_folders_of_one_split_are_refused(own: Path) -> None:
    (own / "testing").mkdir()
    fails("own", own.parent, r"own/test and testing both mean test; move the images of one into the other")


@pytest.mark.parametrize("target", ["moved.csv", "images.csv"])
def test_a_table_that_cannot_be_opened_is_refused_and_not_left_for_the_folders(own: Path, target: str) -> None:
    (own / "images.csv").symlink_to(target)
    fails("own", own.parent, r"images.csv is a link to a file that is not there; restore the table, or remove it")
    (own / "images.csv").unlink()
    (own / "images.csv").mkdir()
    fails("own", own.parent, r"images.csv is no file; restore the table, or remove it")


def test_names_with_stray_spaces_or_of_another_unicode_form_are_one_class(own: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Pájaro") for form in ("NFC", "NFD"))
    draw(own / "train" / composed / "1.jpg")
    draw(own / "test" / apart / "2.jpg")
    (own / "train" / "apple").rename(own / "train" / "apple ")
    dataset = open_dataset("own", own.parent)
    assert dataset.classes == (composed, "apple", "pear")
    assert f"test/{apart}/2.jpg" in dataset.paths, "paths are those on disk"
    assert len(dataset.remarks) == 2


def test_a_table_with_stray_spaces_has_as_many_classes_as_it_means(table: Callable[..., Dataset]) -> None:
    dataset = table(
        "path,label,split",
        "train/apple/1.webp,apple,train",
        "train/pear/1.jpg, pear ,Train",
        "test/apple/3.bmp,apple ,test",
    )
    assert dataset.classes == ("apple", "pear")
    assert dataset.remarks == ("class 'apple' is written in 2 ways, 'apple', 'apple ', and read as one",)


def test_a_table_that_names_one_file_in_two_ways_is_refused(table: Callable[..., Dataset]) -> None:
    with pytest.raises(
        DatasetError, match=r"line 3: './train/pear//1.jpg' is listed twice, in line 2 for train and here"
    ):
        table("path,label,split", "train/pear/1.jpg,p,train", "./train/pear//1.jpg,p,test")


def test_every_class_without_training_images_is_named_with_what_it_may_be(own: Path) -> None:
    draw(own / "test" / "Pears" / "1.jpg")
    draw(own / "test" / "Zucchini" / "1.jpg")
    fails(
        "own",
        own.parent,
        r"'Pears' has no training image \(2 classes have none: Pears, Zucchini\); did you mean 'pear'",
    )
