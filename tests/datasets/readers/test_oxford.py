"""FGVC-Aircraft, Oxford 102 Flowers and Oxford-IIIT Pets, in miniature, in the layouts of their archives."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from datasets import DatasetError, open_dataset
from tests.helpers.small_folders import change, draw, fails, write_tables

# FGVC-Aircraft

PLANES = {
    "0034309": ("F/A-18", "F/A-18", "McDonnell Douglas"),
    "0000012": ("737-700", "Boeing 737", "Boeing"),
    "1234567": ("737-800", "Boeing 737", "Boeing"),
    "0900001": ("737-700", "Boeing 737", "Boeing"),
    "0900002": ("F/A-18", "F/A-18", "McDonnell Douglas"),
}
TRAINVAL, TEST = list(PLANES)[:3], list(PLANES)[3:]


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    """Five photos of three variants, 60 pixels high with a white banner of 20 at the bottom."""
    folder = tmp_path / "fgvc-aircraft-2013b"
    data = folder / "data"
    data.mkdir(parents=True)
    photo = np.zeros((60, 80, 3), dtype=np.uint8)
    photo[40:] = 255
    (data / "images").mkdir()
    for image in PLANES:
        Image.fromarray(photo).save(data / "images" / f"{image}.jpg", quality=95)
    files = {
        "variants.txt": ["737-700", "737-800", "F/A-18 "],
        "families.txt": ["Boeing 737", "F/A-18"],
        "manufacturers.txt": ["Boeing", "McDonnell Douglas"],
        "images_box.txt": [f"{image} 0 10 79 {37 + 10 * (image in TEST)}" for image in reversed(PLANES)],
        "images_variant_train.txt": ["0034309 F/A-18"],
    }
    for position, level in enumerate(("variant", "family", "manufacturer")):
        for split, images in (("trainval", TRAINVAL), ("test", TEST)):
            files[f"images_{level}_{split}.txt"] = [f"{image} {PLANES[image][position]}" for image in images]
    write_tables(data, files)
    return folder


def test_planes_train_on_trainval_and_keep_ids_as_words(planes: Path) -> None:
    dataset = open_dataset("fgvc_aircraft", planes.parent)
    assert dataset.paths == tuple(f"{image}.jpg" for image in PLANES)
    assert dataset.is_train.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("level", "classes", "labels", "counted"),
    [
        ("variant", ("737-700", "737-800", "F/A-18"), [2, 0, 1, 0, 2], 100),
        ("family", ("Boeing 737", "F/A-18"), [1, 0, 0, 0, 1], 70),
        ("manufacturer", ("Boeing", "McDonnell Douglas"), [1, 0, 0, 0, 1], 30),
    ],
)
def test_each_level_has_its_classes(
    planes: Path, level: str, classes: tuple[str, ...], labels: list[int], counted: int
) -> None:
    dataset = open_dataset("fgvc_aircraft", planes.parent, {"level": level})
    assert dataset.classes == classes
    assert dataset.labels.tolist() == labels
    assert dataset.expected.classes == counted
    assert f"{counted} {level[:5]}" in dataset.title


def test_the_banner_is_cut_off_unless_asked_for(planes: Path) -> None:
    without = open_dataset("fgvc_aircraft", planes.parent)
    assert without.image(0).shape == (40, 80, 3)
    assert without.image(0).max() < 50
    assert without.image(0).flags.c_contiguous
    kept = open_dataset("fgvc_aircraft", planes.parent, {"banner": True})
    assert kept.image(0).shape == (60, 80, 3)
    assert kept.image(0)[45:].min() > 200
    assert kept.split_hash == without.split_hash
    assert kept.content_key != without.content_key, "or a store of one would pass for the other"


def test_boxes_of_planes_count_from_0_though_the_readme_says_1_and_end_above_the_banner(planes: Path) -> None:
    boxes = open_dataset("fgvc_aircraft", planes.parent).boxes
    assert boxes.tolist() == [[0, 10, 80, 28]] * 3 + [[0, 10, 80, 30]] * 2
    boxes = open_dataset("fgvc_aircraft", planes.parent, {"banner": True}).boxes
    assert boxes.tolist() == [[0, 10, 80, 28]] * 3 + [[0, 10, 80, 38]] * 2


def test_original_boxes_of_planes_begin_within_the_image(metadata: Path, tmp_path: Path) -> None:
    with tarfile.open(metadata / "fgvc_aircraft" / "metadata.tar.xz") as archive:
        archive.extract("real_lines/images_box_last49.txt", tmp_path, filter="data")
    lines = (tmp_path / "real_lines" / "images_box_last49.txt").read_text().splitlines()
    data = tmp_path / "fgvc-aircraft-2013b" / "data"
    images = [line.split()[0] for line in lines]
    lists = {"images_variant_trainval.txt": images[:25], "images_variant_test.txt": images[25:]}
    labelled = {name: [f"{image} A" for image in listed] for name, listed in lists.items()}
    write_tables(data, labelled | {"variants.txt": ["A"], "images_box.txt": lines})
    for image in images:
        draw(data / "images" / f"{image}.jpg", (1600, 1200))
    boxes = open_dataset("fgvc_aircraft", tmp_path).boxes.tolist()
    assert boxes[lines.index("0784479 2 2 1022 670")] == [2, 2, 1021, 669]
    assert boxes[lines.index("0329381 0 65 1023 523")] == [0, 65, 1024, 459], "one that the README's way begins at -1"


def test_planes_without_a_box_file_have_no_boxes_and_a_missing_line_is_an_error(planes: Path) -> None:
    change(planes / "data" / "images_box.txt", "1234567", "7654321")
    dataset = open_dataset("fgvc_aircraft", planes.parent)
    with pytest.raises(DatasetError, match=r"images_box.txt has no line for 1234567.jpg"):
        _ = dataset.boxes
    assert dataset.has_boxes, "a look that reads nothing"
    (planes / "data" / "images_box.txt").unlink()
    dataset = open_dataset("fgvc_aircraft", planes.parent)
    assert dataset.boxes is None
    assert not dataset.has_boxes


def test_a_photo_lower_than_its_banner_is_refused(planes: Path) -> None:
    draw(planes / "data" / "images" / "0034309.jpg", (30, 20))
    with pytest.raises(DatasetError, match=r"0034309.jpg is only 20 pixels high, less than its banner"):
        open_dataset("fgvc_aircraft", planes.parent).image(0)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("images_variant_test.txt", "737-700", "747", r"variant_test.txt, line 1: '747' is not in variants.txt"),
        ("images_variant_trainval.txt", "0000012", "0034309", r"line 2: image 0034309 is listed twice"),
        ("images_variant_test.txt", "0900001", "0034309", r"image 0034309 is in trainval and in test"),
    ],
)
def test_aircraft_lists_that_disagree_are_refused(planes: Path, file: str, old: str, new: str, message: str) -> None:
    change(planes / "data" / file, old, new)
    fails("fgvc_aircraft", planes.parent, message)


def test_wrong_options_of_aircraft_name_the_right_ones(planes: Path) -> None:
    fails("fgvc_aircraft", planes.parent, "level is 'model'; it is one of variant, family", {"level": "model"})
    fails("fgvc_aircraft", planes.parent, "banner is 'no'; it is true or false", {"banner": "no"})


# Oxford 102 Flowers


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Of each of 102 flowers one training, one validation and two test images, numbered all over; some are grey."""
    folder = tmp_path / "flowers-102"
    for number in range(1, 409):
        draw(folder / "jpg" / f"image_{number:05d}.jpg", (4, 4), "L" if number == 3 else "RGB")
    labels = np.arange(408) % 102 + 1
    savemat(folder / "imagelabels.mat", {"labels": labels[None].astype(np.uint8)}, do_compression=True)
    write_sets(folder, np.arange(307, 409), np.arange(103, 205), np.r_[1:103, 205:307])
    return folder


def write_sets(folder: Path, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> None:
    sets = {"trnid": train[None, ::-1], "valid": valid[None], "tstid": test[None]}
    savemat(folder / "setid.mat", {name: ids.astype(np.uint16) for name, ids in sets.items()})


def test_flowers_train_on_trainval_and_test_on_the_larger_set(flowers: Path) -> None:
    dataset = open_dataset("oxford_flowers102", flowers.parent)
    assert dataset.paths == tuple(f"image_{number:05d}.jpg" for number in range(1, 409))
    assert dataset.labels.tolist() == [number % 102 for number in range(408)]
    assert np.flatnonzero(dataset.is_train).tolist() == [*range(102, 204), *range(306, 408)]
    assert list(dataset.classes) == torchvision.datasets.Flowers102.classes
    assert dataset.boxes is None
    assert dataset.image(2).shape == (4, 4, 3), "grey images too"


def test_flowers_without_their_validation_images_have_another_split(flowers: Path) -> None:
    dataset = open_dataset("oxford_flowers102", flowers.parent, {"train": "train"})
    assert len(dataset) == 306
    assert (dataset.is_train.sum(), dataset.paths[102]) == (102, "image_00205.jpg")
    assert dataset.labels[102] == 0
    assert dataset.expected.train == 1_020
    assert "1 020" in dataset.title
    assert dataset.split_hash != open_dataset("oxford_flowers102", flowers.parent).split_hash
    fails("oxford_flowers102", flowers.parent, "train is 'val'; it is one of trainval, train", {"train": "val"})


def test_flowers_with_train_and_test_swapped_are_refused(flowers: Path) -> None:
    write_sets(flowers, np.r_[1:103, 205:307], np.arange(103, 205), np.arange(307, 409))
    fails("oxford_flowers102", flowers.parent, r"setid.mat: trnid has more images than tstid; they were swapped")


def test_flower_sets_that_disagree_are_refused(flowers: Path) -> None:
    write_sets(flowers, np.arange(307, 409), np.arange(103, 205), np.r_[1:104, 205:307])
    fails("oxford_flowers102", flowers.parent, r"setid.mat names image 103 twice")
    write_sets(flowers, np.arange(307, 410), np.arange(103, 205), np.r_[1:103, 205:307])
    fails(
        "oxford_flowers102",
        flowers.parent,
        r"imagelabels.mat has labels of images 1 .. 408, and setid.mat names 1 .. 409",
    )


# Oxford-IIIT Pets

PETS = {
    "trainval.txt": ["Abyssinian_100 1 1 1", "american_bulldog_2 2 2 1", "Egyptian_Mau_3 3 1 2"],
    "test.txt": ["american_bulldog_10 2 2 1", "Abyssinian_34 1 1 1"],
}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Five pets, with the leftovers, comments and head boxes of the archives."""
    folder = tmp_path / "oxford-iiit-pet"
    for row in (*PETS["trainval.txt"], *PETS["test.txt"]):
        draw(folder / "images" / f"{row.split()[0]}.jpg")
    (folder / "images" / "Abyssinian_100.mat").write_bytes(b"a leftover")
    comments = ["#Image CLASS-ID SPECIES BREED ID", "#ID: 1:37 Class ids", "#SPECIES: 1:Cat 2:Dog"]
    listed = [*comments, *PETS["test.txt"], *PETS["trainval.txt"]]
    write_tables(folder / "annotations", {**PETS, "list.txt": listed, "xmls/Abyssinian_100.xml": ["<annotation/>"]})
    return folder


def test_pets_have_labels_from_0_and_breeds_in_words(pets: Path) -> None:
    dataset = open_dataset("oxford_pets", pets.parent)
    assert dataset.paths[1] == "american_bulldog_2.jpg"
    assert dataset.labels.tolist() == [0, 1, 2, 1, 0]
    assert dataset.is_train.tolist() == [True, True, True, False, False]
    assert dataset.classes == ("Abyssinian", "american bulldog", "Egyptian Mau")
    assert dataset.boxes is None, "boxes of heads, and of no test image, are none of the animal"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "american_bulldog_10 2",
            "american_bulldog_10 1",
            r"annotations: class 1 is Abyssinian and american bulldog; restore",
        ),
        ("american_bulldog_10 2", "pug_10 5", r"annotations: the classes aren't 1 .. 4"),
        ("american_bulldog_10 2 2", "american_bulldog_10 2", r"test.txt, line 1: 4 fields were expected, not 3"),
        ("Abyssinian_34", "Abyssinian_35", r"images/Abyssinian_35.jpg is not on disk"),
        ("Abyssinian_34", "Abyssinian_100", r"an image path is listed twice"),
    ],
)
def test_faults_of_pet_lists_are_named(pets: Path, old: str, new: str, message: str) -> None:
    change(pets / "annotations" / "test.txt", old, new)
    fails("oxford_pets", pets.parent, message)


# Names


def test_peoples_own_folders_are_not_taken_for_releases(tmp_path: Path) -> None:
    for path in ("mine/train/a/1.jpg", "mine/test/a/1.jpg", "mine/images/1.jpg", "mine/data/images/1.jpg"):
        draw(tmp_path / path)
    for path in ("mine/setid.mat", "mine/data/variants.txt", "mine/annotations/trainval.txt", "mine/cars_annos.mat"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert open_dataset("mine", tmp_path).paths == ("train/a/1.jpg", "test/a/1.jpg")
