"""WebFG-496: three subsets, noisy train images of every kind, and the clean `val` as the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from datasets import DatasetError, available, open_dataset, reader_classes

AUDI = "Audi S4 Sedan 2007"
BMW = "BMW 1 Series Coupe 2012"
RAM = "Ram C-V Cargo Van Minivan 2012"


def save(path: Path, size: tuple[int, int] = (48, 32)) -> Path:
    """A picture with structure, so that a cut JPEG has something to lose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def webfg(tmp_path: Path) -> Path:
    """Three cars in the dataset's layout; the second has no test image."""
    folder = tmp_path / "webfg_496"
    for path in (f"train/{RAM}/2.jpg", f"train/{AUDI}/9.jpg", f"train/{AUDI}/10.jpg", f"train/{BMW}/1.jpg"):
        save(folder / "web-car" / path)
    for path in (f"val/{AUDI}/00076.jpg", f"val/{RAM}/00001.jpg"):
        save(folder / "web-car" / path)
    return folder


def car(webfg: Path):
    return open_dataset("webfg_496", webfg.parent, {"subset": "car"})


@pytest.mark.parametrize("options", [{}, {"subset": None}, {"subset": "dog"}, {"subset": ["car"]}])
def test_a_subset_has_to_be_named(webfg: Path, options: dict) -> None:
    with pytest.raises(
        DatasetError, match=r"webfg_496: .*name one as webfg_496:bird, webfg_496:aircraft, webfg_496:car,"
    ):
        open_dataset("webfg_496", webfg.parent, options)


def test_a_subset_that_is_not_there_says_what_to_unpack(webfg: Path) -> None:
    with pytest.raises(DatasetError, match=r"web-bird is missing; unpack web-bird.tar.gz into .*here: webfg_496:car$"):
        open_dataset("webfg_496", webfg.parent, {"subset": "bird"})


def test_a_subset_without_its_train_folder_says_what_belongs_there(webfg: Path) -> None:
    (webfg / "web-car" / "train").rename(webfg / "elsewhere")
    with pytest.raises(
        DatasetError, match=r"web-car has no train folder; put the training images into .*train/<class>"
    ):
        car(webfg)


def test_classes_are_sorted_folder_names_and_val_is_the_test_set_though_a_class_has_none_there(webfg: Path) -> None:
    dataset = car(webfg)
    assert dataset.classes == (AUDI, BMW, RAM)
    assert dataset.paths == (
        f"train/{AUDI}/10.jpg",
        f"train/{AUDI}/9.jpg",
        f"train/{BMW}/1.jpg",
        f"train/{RAM}/2.jpg",
        f"val/{AUDI}/00076.jpg",
        f"val/{RAM}/00001.jpg",
    )
    assert dataset.labels.tolist() == [0, 0, 1, 2, 0, 2]
    assert dataset.is_train.tolist() == [True] * 4 + [False] * 2


def test_a_class_without_train_images_is_refused(webfg: Path) -> None:
    save(webfg / "web-car" / "val" / "Zenvo ST1" / "1.jpg")
    with pytest.raises(DatasetError, match="class 'Zenvo ST1' has no training image"):
        car(webfg)


def test_a_cut_train_image_is_what_pillow_makes_of_it_by_its_switch(
    webfg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(webfg / "web-car" / "train" / AUDI / "10.jpg", size=(320, 240))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    pixels = car(webfg).image(0)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(path) as image:
        assert np.array_equal(pixels, np.array(image.convert("RGB")))
    assert pixels[:80].std() > 20
    assert pixels[-8:].std() == 0, "nothing was left of the lower end"


def test_a_train_file_that_holds_no_image_is_named(webfg: Path) -> None:
    (webfg / "web-car" / "train" / AUDI / "10.jpg").write_text("<html>404</html>")
    with pytest.raises(DatasetError, match=r"10.jpg is a web page and not an image"):
        car(webfg).image(0)


def test_a_test_image_has_to_be_whole(webfg: Path) -> None:
    path = webfg / "web-car" / "val" / AUDI / "00076.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DatasetError, match=r"00076.jpg is truncated"):
        car(webfg).image(4)


def test_each_subset_is_held_to_its_own_counts(webfg: Path) -> None:
    expected = car(webfg).expected
    assert (expected.classes, expected.train, expected.test) == (196, 21_448, 8_041)
    reader = reader_classes()["webfg_496"]
    assert (reader.expected.classes, reader.expected.train) == (496, 53_339)
    assert [subset["subset"] for subset in reader.subsets] == ["bird", "aircraft", "car"]


def test_the_folder_is_known_by_its_subsets_and_a_subset_alone_as_class_folders(webfg: Path) -> None:
    assert available(webfg.parent) == ["synthetic", "webfg_496"]
    assert available(webfg) == ["synthetic", "web-car"]
    assert type(open_dataset("web-car", webfg)) is reader_classes()["folder"]


def test_validation_images_are_held_out_of_train_alone(webfg: Path) -> None:
    dataset = car(webfg)
    rows = dataset.split(validation=0.5)
    assert len(rows["validation"]) == 1
    assert all(dataset.paths[row].startswith("train/") for row in rows["validation"])
    assert [dataset.paths[row].split("/")[0] for row in rows["test"]] == ["val", "val"]
