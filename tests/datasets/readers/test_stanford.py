"""Stanford Cars and Stanford Dogs, in miniature, in the layouts of their sites and copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from datasets import DatasetError, available, open_dataset
from datasets.formats.matlab import MatFile
from tests.helpers.small_folders import draw, fails
from tests.helpers.true_tables import cells, structs

NAMES = ("AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012 ", "Acura RL Sedan 2012")
TRAIN = [("00001.jpg", 3), ("00002.jpg", 1), ("00003.jpg", 2)]
TEST = [("00001.jpg", 2), ("00002.jpg", 3)]


def annotation(edges: int, label: int | None, **more: Any) -> dict[str, Any]:
    box = {"bbox_x1": edges, "bbox_y1": 2, "bbox_x2": edges + 4, "bbox_y2": 200}
    return {**box, **({} if label is None else {"class": label}), **more}


@pytest.fixture
def cars(tmp_path: Path) -> Path:
    """Five cars in the layout of the original site: one image folder a split, and a devkit."""
    folder = tmp_path / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    for split, rows in (("cars_train", TRAIN), ("cars_test", TEST)):
        for name, _ in rows:
            draw(folder / split / name)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": cells(list(NAMES), (1, 3))}, do_compression=True)
    for file, rows, labelled in (
        ("devkit/cars_train_annos.mat", TRAIN, True),
        ("devkit/cars_test_annos.mat", TEST, False),
        ("cars_test_annos_withlabels.mat", TEST, True),
    ):
        annotated = [annotation(10 * i + 1, k if labelled else None, fname=name) for i, (name, k) in enumerate(rows)]
        savemat(folder / file, {"annotations": structs(annotated, np.uint8)}, do_compression=True)
    return folder


@pytest.fixture
def together(tmp_path: Path) -> Path:
    """The same cars in the other layout: one folder, six digits, another order, the split in the annotations."""
    folder = tmp_path / "together" / "stanford_cars"
    rows = [
        ("000001.jpg", 1, 0),
        ("000002.jpg", 2, 1),
        ("000003.jpg", 2, 0),
        ("000004.jpg", 3, 0),
        ("000005.jpg", 3, 1),
    ]
    for name, _, _ in rows:
        draw(folder / "car_ims" / name)
    annotated = [annotation(3, label, test=test, relative_im_path=f"car_ims/{name}") for name, label, test in rows]
    savemat(
        folder / "cars_annos.mat",
        {"annotations": structs(annotated, np.uint8), "class_names": cells(list(NAMES), (1, 3))},
        do_compression=True,
    )
    return folder


# Stanford Cars


def test_cars_have_labels_from_0_the_official_split_and_boxes_from_0(cars: Path) -> None:
    dataset = open_dataset("stanford_cars", cars.parent)
    assert dataset.paths == tuple(
        [f"cars_train/{name}" for name, _ in TRAIN] + [f"cars_test/{name}" for name, _ in TEST]
    )
    assert dataset.labels.tolist() == [2, 0, 1, 1, 2]
    assert dataset.is_train.tolist() == [True, True, True, False, False]
    assert dataset.boxes.tolist() == [[x, 1, 5, 199] for x in (0, 10, 20, 0, 10)], "MATLAB's pixel 1 is our pixel 0"
    assert dataset.classes[1] == "Ram C/V Cargo Van Minivan 2012", "the slash stays, the blank at the end goes"


def test_the_two_layouts_have_different_hashes_and_one_split(cars: Path, together: Path) -> None:
    apart, one = open_dataset("stanford_cars", cars.parent), open_dataset("stanford_cars", together.parent)
    assert one.split_hash != apart.split_hash, "their files are numbered differently"
    for train in (True, False):
        labels = [sorted(dataset.labels[dataset.is_train == train].tolist()) for dataset in (apart, one)]
        assert labels[0] == labels[1]


def test_the_layout_of_one_folder_takes_the_split_from_its_annotations(together: Path) -> None:
    dataset = open_dataset("stanford_cars", together.parent)
    assert dataset.paths[0] == "car_ims/000001.jpg"
    assert dataset.labels.tolist() == [0, 1, 1, 2, 2]
    assert dataset.is_train.tolist() == [True, False, True, True, False]
    assert dataset.classes == tuple(name.strip() for name in NAMES)
    assert dataset.boxes[0].tolist() == [2, 1, 5, 199]
    assert dataset.image(4).shape == (10, 12, 3)


def test_kaggles_deeper_folders_and_a_devkit_elsewhere_change_neither_table_nor_hash(cars: Path) -> None:
    before = open_dataset("stanford_cars", cars.parent)
    for split in ("cars_train", "cars_test"):
        (cars / split).rename(cars / "put_by")
        (cars / split).mkdir()
        (cars / "put_by").rename(cars / split / split)
    (cars / "cars_test_annos_withlabels.mat").rename(cars / "devkit" / "cars_test_annos_withlabels.mat")
    (cars / "devkit" / "cars_meta.mat").rename(cars / "cars_meta.mat")
    after = open_dataset("stanford_cars", cars.parent)
    assert after.split_hash == before.split_hash
    assert after.image(0).shape == (10, 12, 3)
    assert after.file(0) == cars / "cars_train" / "cars_train" / "00001.jpg"


def test_the_devkits_unlabelled_test_annotations_are_recognised(cars: Path) -> None:
    (cars / "cars_test_annos_withlabels.mat").unlink()
    fails("stanford_cars", cars.parent, r"withlabels.mat is missing \(the devkit's cars_test_annos.mat has no labels\)")
    (cars / "devkit" / "cars_test_annos.mat").rename(cars / "cars_test_annos_withlabels.mat")
    fails("stanford_cars", cars.parent, r"withlabels.mat has no labels: it is the devkit's .*, renamed")


def test_annotations_of_the_other_layout_dont_stand_in_for_a_devkit(cars: Path) -> None:
    (cars / "devkit" / "cars_meta.mat").rename(cars / "cars_annos.mat")
    fails("stanford_cars", cars.parent, r"devkit/cars_meta.mat is missing; .*cars_annos.mat can't replace it")


def test_missing_cars_are_named_and_counted(cars: Path) -> None:
    (cars / "cars_train" / "00003.jpg").unlink()
    fails("stanford_cars", cars.parent, r"cars_train/00003.jpg is not on disk; restore")
    (cars / "cars_test" / "00001.jpg").unlink()
    fails("stanford_cars", cars.parent, r"cars_train/00003.jpg is not on disk, nor are 1 others")


def test_a_car_of_no_class_is_refused(cars: Path) -> None:
    savemat(cars / "devkit" / "cars_meta.mat", {"class_names": cells(list(NAMES[:2]), (1, 2))})
    fails("stanford_cars", cars.parent, r"cars_train_annos.mat: class 3 is outside 1 .. 2")


def test_cars_are_listed_only_when_they_are_there(cars: Path) -> None:
    assert "stanford_cars" in available(cars.parent)
    (cars / "cars_train").rename(cars / "elsewhere")
    assert "stanford_cars" not in available(cars.parent)
    fails("stanford_cars", cars.parent, r"has neither cars_train/ nor cars_annos.mat; the original site is gone: get")


# Stanford Dogs

DOGS_TRAIN = [("n02085620-Chihuahua/n02085620_5927.jpg", 1), ("n02100236-German_short-haired_pointer/n02_1.jpg", 2)]
DOGS_TEST = [("n02085620-Chihuahua/n02085620_2650.jpg", 1)]
VOC = "<annotation><filename>%s</filename>{}</annotation>"
BOX = "<object><name>dog</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    """Three dogs, one image with two of them."""
    folder = tmp_path / "stanford_dogs"
    boxes = [BOX.format(1, 2, 5, 6), BOX.format(0, 0, 2, 2) + BOX.format(3, 1, 12, 9), BOX.format(0, 0, 12, 10)]
    for (path, _), content in zip(DOGS_TRAIN + DOGS_TEST, boxes, strict=True):
        draw(folder / "Images" / path)
        file = folder / "Annotation" / path.removesuffix(".jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(VOC.format(content))
    for name, rows in (("train_list.mat", DOGS_TRAIN), ("test_list.mat", DOGS_TEST)):
        savemat(folder / name, dog_list(rows), do_compression=True)
    return folder


def dog_list(rows: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    paths = [path for path, _ in rows]
    return {
        "file_list": cells(paths),
        "annotation_list": cells([path.removesuffix(".jpg") for path in paths]),
        "labels": np.array([[label] for _, label in rows], dtype=np.uint8),
    }


def test_dogs_have_labels_from_0_breeds_in_words_and_one_box(dogs: Path) -> None:
    dataset = open_dataset("stanford_dogs", dogs.parent)
    assert dataset.paths == tuple(path for path, _ in DOGS_TRAIN + DOGS_TEST)
    assert dataset.labels.tolist() == [0, 1, 0]
    assert dataset.is_train.tolist() == [True, True, False]
    assert dataset.classes == ("Chihuahua", "German short-haired pointer")
    assert dataset.boxes is not None, "that of the largest of several dogs"
    assert dataset.boxes.tolist() == [[1, 2, 4, 4], [3, 1, 9, 8], [0, 0, 12, 10]]


def test_a_box_of_a_dog_that_ends_beyond_the_image_is_clipped_to_the_stated_size(dogs: Path) -> None:
    size = "<size><width>12</width><height>10</height></size>"
    file = dogs / "Annotation" / "n02085620-Chihuahua" / "n02085620_5927"
    file.write_text(VOC.format(size + BOX.format(1, 2, 13, 15)))
    assert open_dataset("stanford_dogs", dogs.parent).boxes[0].tolist() == [1, 2, 11, 8]


def test_dogs_without_annotations_have_no_boxes(dogs: Path) -> None:
    (dogs / "Annotation").rename(dogs / "elsewhere")
    dataset = open_dataset("stanford_dogs", dogs.parent)
    assert dataset.boxes is None
    assert not dataset.has_boxes


ODD_ENCODING = '<?xml version="1.0" encoding="foo"?><annotation/>'


@pytest.mark.parametrize(
    "content", [None, "", "<annotation>", VOC.format(""), VOC.format(BOX.format(1, 2, "", 4)), ODD_ENCODING]
)
def test_a_damaged_dog_annotation_is_named(dogs: Path, content: str | None) -> None:
    file = dogs / "Annotation" / "n02085620-Chihuahua" / "n02085620_5927"
    file.unlink() if content is None else file.write_text(content)
    dataset = open_dataset("stanford_dogs", dogs.parent)
    with pytest.raises(DatasetError, match=r"n02085620_5927 holds no box that can be read; restore") as caught:
        _ = dataset.boxes
    assert dataset.has_boxes, "a look that opens no annotation"
    assert "\n" not in str(caught.value)


def test_dog_lists_that_disagree_are_refused(dogs: Path) -> None:
    savemat(dogs / "test_list.mat", {**dog_list(DOGS_TEST), "labels": np.array([[1], [2]], dtype=np.uint8)})
    fails("stanford_dogs", dogs.parent, r"test_list.mat has 1 images and 2 labels")
    savemat(dogs / "test_list.mat", dog_list([(DOGS_TEST[0][0], 2)]))
    fails("stanford_dogs", dogs.parent, r"class 2 is n02100236-German_short-haired_pointer and n02085620-Chihuahua")
    savemat(dogs / "test_list.mat", dog_list([("n03-Beagle/n03_1.jpg", 9)]))
    fails("stanford_dogs", dogs.parent, r"the classes aren't 1 .. 3")
    savemat(dogs / "test_list.mat", dog_list([DOGS_TRAIN[0]]))
    fails("stanford_dogs", dogs.parent, r"an image path is listed twice")


# What both are built on


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def replace_by_page(file: Path) -> None:
    file.write_text("<html><title>404 Not Found</title></html>" * 20)


def replace_by_other(file: Path) -> None:
    savemat(file, {"something": np.zeros((2, 2))})


@pytest.mark.parametrize("damage", [cut, replace_by_page, replace_by_other])
def test_a_damaged_mat_file_is_one_line_with_its_name(dogs: Path, damage: Callable[[Path], None]) -> None:
    damage(dogs / "train_list.mat")
    fails("stanford_dogs", dogs.parent, r"train_list.mat.* restore")


def test_a_mat_file_cut_anywhere_is_told(dogs: Path) -> None:
    whole = (dogs / "train_list.mat").read_bytes()
    for length in range(0, len(whole), 7):
        (dogs / "train_list.mat").write_bytes(whole[:length])
        fails("stanford_dogs", dogs.parent, r"train_list.mat")


def test_columns_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    savemat(
        tmp_path / "a.mat",
        {"names": cells(["a", "b"], (1, 2)), "halves": np.array([[1, 1.5]]), "one": 7, "only": cells(["c"], (1, 1))},
    )
    file = MatFile(tmp_path / "a.mat")
    assert file.texts("names") == ("a", "b")
    assert file.texts("only") == ("c",)
    assert file.integers("one").tolist() == [7]
    with pytest.raises(DatasetError, match="'names' does not hold whole numbers"):
        file.integers("names")
    with pytest.raises(DatasetError, match="'halves' does not hold whole numbers"):
        file.integers("halves")
    with pytest.raises(DatasetError, match="'halves' does not hold texts"):
        file.texts("halves")
    with pytest.raises(DatasetError, match=r"'names\.first' is not in it"):
        file.texts("names", "first")
