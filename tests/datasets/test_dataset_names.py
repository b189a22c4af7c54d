"""One dataset has one name however it is asked for, and the layouts in which people have them are read or answered."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import Environment
from benchmarks.planning import expand, suite_builders
from benchmarks.planning.overrides import Changes
from datasets import DatasetError, available, open_dataset, reader_of
from datasets.loading.store import open_store
from results.settings import Run
from tests.helpers.small_folders import cub_like, draw, fails


def own_images(folder: Path, classes: tuple[str, ...] = ("apple", "pear")) -> Path:
    for split in ("train", "test"):
        for name in classes:
            for number in range(2):
                draw(folder / split / name / f"{number}.png")
    return folder


def planned_ids(root: Path, dataset: str) -> list[str]:
    environment, without = Environment(root), {"pretrained": "none"}
    suite = suite_builders.compare(["plain"], dataset, ["test_resnet"], 1, environment, without)
    return [run.id for run in expand.expand(suite, environment, Changes(set=without)) if isinstance(run, Run)]


# One name


@pytest.mark.parametrize(
    "spelled", ["birds/", "./birds", "sub/../birds", "{root}/birds", "{root}/./birds/", "{link}/birds"]
)
def test_a_dataset_has_the_same_runs_and_store_however_it_is_named(tmp_path: Path, spelled: str) -> None:
    root, link = tmp_path / "data", tmp_path / "link"
    own_images(root / "birds")
    link.symlink_to(root)
    name = spelled.format(root=root, link=link)
    assert planned_ids(root, name) == planned_ids(root, "birds")
    files = set(root.rglob("*"))
    store = open_store(open_dataset(name, root), 8, "squash", cache=tmp_path / "cache")
    assert store.folder == open_store(open_dataset("birds", root), 8, "squash", cache=tmp_path / "cache").folder
    assert set(root.rglob("*")) == files, "nothing is written into the data"


def test_a_folder_further_down_is_another_dataset(tmp_path: Path) -> None:
    own_images(tmp_path / "birds")
    own_images(tmp_path / "sub" / "birds")
    assert open_dataset("sub/birds/", tmp_path).name == "sub/birds"
    assert planned_ids(tmp_path, "sub/birds") != planned_ids(tmp_path, "birds")
    store = open_store(open_dataset("sub/birds", tmp_path), 8, "squash", cache=tmp_path / "cache")
    assert store.folder.parent == tmp_path / "cache"


def test_a_folder_that_is_a_link_is_known_by_its_place_in_the_data_folder(tmp_path: Path) -> None:
    own_images(tmp_path / "disk" / "images")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "birds").symlink_to(tmp_path / "disk" / "images")
    assert open_dataset(str(tmp_path / "data" / "birds"), tmp_path / "data").name == "birds"


@pytest.mark.parametrize(("written", "typed"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_folder_is_found_by_its_name_in_either_unicode_form(tmp_path: Path, written: str, typed: str) -> None:
    there, asked = (unicodedata.normalize(form, "europe/vögel") for form in (written, typed))
    own_images(tmp_path / there)
    assert open_dataset(asked, tmp_path).name == there
    assert planned_ids(tmp_path, asked) == planned_ids(tmp_path, there)


def test_no_name_leads_out_of_the_data_folder(tmp_path: Path) -> None:
    own_images(tmp_path / "birds")
    (tmp_path / "data").mkdir()
    for name in ("../birds", "sub/../../birds", "..", ".", "", "./"):
        fails(name, tmp_path / "data", "is not a folder below the data folder")
    fails(str(tmp_path / "birds"), tmp_path / "data", rf"--data {tmp_path}, and as the dataset birds$")
    with pytest.raises(DatasetError, match=rf"--data {tmp_path}, and as the dataset birds$"):
        open_dataset(str(tmp_path / "birds"))


# Published datasets


@pytest.mark.parametrize(
    "folder", ["CUB-200-2011", "cub_200_2011", "CUB_200_2011/CUB_200_2011", "CUB200-2011/extracted"]
)
def test_a_published_dataset_is_found_whatever_the_case_and_punctuation_of_its_folder(
    tmp_path: Path, folder: str
) -> None:
    cub_like(tmp_path / folder)
    (tmp_path / folder).parent.joinpath("attributes.txt").touch()
    assert available(tmp_path) == ["synthetic", "cub_200_2011", "cub100"]
    for name in ("cub_200_2011", "CUB-200-2011", "./CUB_200_2011/", folder, str(tmp_path / folder)):
        dataset = open_dataset(name, tmp_path)
        assert dataset.name == "cub_200_2011"
        assert dataset.expected is not None, "it is held to the official split"


def test_a_copy_under_another_name_is_not_held_to_the_official_split(tmp_path: Path) -> None:
    cub_like(tmp_path / "my_cub")
    dataset = open_dataset("my_cub", tmp_path)
    assert dataset.expected is None
    assert dataset.title == "my_cub: images with the tables of CUB-200-2011 (images.txt …)"


def test_fetch_knows_a_published_dataset_by_all_of_its_names() -> None:
    assert [reader_of(name)[0] for name in ("CUB-200-2011", "NABirds", "flowers-102")] == [
        "cub_200_2011",
        "nabirds",
        "oxford_flowers102",
    ]


def test_two_folders_that_go_by_one_name_are_both_named(tmp_path: Path) -> None:
    cub_like(tmp_path / "CUB_200_2011")
    cub_like(tmp_path / "CUB-200-2011")
    fails("cub_200_2011", tmp_path, r"CUB-200-2011 and .*CUB_200_2011 both go by the name of one dataset; rename one")


def test_a_data_folder_that_is_the_dataset_itself_is_told(tmp_path: Path) -> None:
    cub_like(tmp_path / "CUB_200_2011")
    fails("cub_200_2011", tmp_path / "CUB_200_2011", r"is the folder of cub_200_2011 itself; name the one above it")


# Layouts in the wild


@pytest.mark.parametrize(
    ("name", "folder", "below"),
    [
        ("cub_200_2011", "CUB_200_2011", ("train", "test")),
        ("stanford_cars", "Stanford-Cars", ("train", "test")),
        ("stanford_dogs", "stanford_dogs", ("n1-pug", "n2-beagle", "n3-boxer")),
    ],
)
def test_class_folders_of_a_published_dataset_are_told_from_its_official_split(
    tmp_path: Path, name: str, folder: str, below: tuple[str, ...]
) -> None:
    for one in below:
        draw(tmp_path / folder / one / "1.jpg")
        draw(tmp_path / folder / one / "a class" / "1.jpg")
    fails(name, tmp_path, rf"{folder} is a folder of classes .*{below[0]}.*official split can't be known; rename it")
    (tmp_path / folder).rename(tmp_path / f"my_{name}")
    if "train" in below:
        for one in below:
            (tmp_path / f"my_{name}" / one / "1.jpg").unlink()
        assert len(open_dataset(f"my_{name}", tmp_path)) == 2


def test_tables_beside_class_folders_are_two_datasets(tmp_path: Path) -> None:
    own_images(cub_like(tmp_path / "my_cub"))
    fails(
        "my_cub",
        tmp_path,
        r"two layouts, whose splits may differ: .*images.txt …\); and train/<class>.*; move the files of one",
    )


@pytest.mark.parametrize("folder", ["CUB_200", "CUB_200_2011"])
def test_the_older_birds_of_2010_are_named(tmp_path: Path, folder: str) -> None:
    draw(tmp_path / folder / "images" / "001.Auk" / "1.jpg")
    (tmp_path / folder / "lists").mkdir()
    (tmp_path / folder / "lists" / "train.txt").write_text("001.Auk/1.jpg\n")
    fails(
        folder,
        tmp_path,
        rf"{folder} is Caltech-UCSD Birds 200 of 2010, which has other images.*data fetch cub_200_2011",
    )


def test_images_one_folder_deeper_are_named(tmp_path: Path) -> None:
    own_images(tmp_path / "birds" / "birds")
    fails("birds", tmp_path, r"a layout that no reader knows, but birds/birds below it can be opened")
    assert open_dataset("birds/birds", tmp_path).name == "birds/birds"


def test_a_folder_that_may_not_be_read_hides_no_other_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_images(tmp_path / "birds")
    (tmp_path / "lost+found").mkdir()
    is_file = Path.is_file

    def denied(path: Path) -> bool:
        if "lost+found" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", denied)  # the tests may run as root, who may read everything
    monkeypatch.setattr("os.access", lambda path, mode: "lost+found" not in Path(path).parts)
    assert available(tmp_path) == ["synthetic", "birds"]
    fails("lost+found", tmp_path, r"lost\+found/images.txt may not be read \(Permission denied\); permit it")
    fails("brids", tmp_path, "did you mean 'birds'")


def test_a_class_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_images(tmp_path / "birds")
    iterdir = Path.iterdir

    def denied(path: Path) -> Iterator[Path]:
        if path.name == "pear":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    fails("birds", tmp_path, r"birds/train/pear may not be read \(Permission denied\); permit it")


# Missing annotations


@pytest.mark.parametrize(
    ("name", "image", "options", "message"),
    [
        ("stanford_dogs", "Images/a/1.jpg", {}, r"train_list.mat is missing; it comes in lists.tar; run: data fetch"),
        ("oxford_flowers102", "jpg/1.jpg", {}, r"setid.mat is missing; it is a download of its own; run: data fetch"),
        ("stanford_cars", "cars_train/1.jpg", {}, r"devkit/cars_meta.mat is missing; unpack car_devkit.tgz"),
        (
            "oxford_pets",
            "images/1.jpg",
            {},
            r"annotations/trainval.txt is missing; it comes in annotations.tar.gz; run",
        ),
        (
            "cub_200_2011",
            "images/a/1.jpg",
            {},
            r"images.txt is missing; it comes in CUB_200_2011.tgz; unpack that again, or move .*_2011 away and run:",
        ),
        (
            "fgvc_aircraft",
            "data/images/1.jpg",
            {"level": "family"},
            r"families.txt is missing; it comes in fgvc-aircraft-",
        ),
        ("nabirds", "images/a/1.jpg", {}, r"images.txt is missing; it comes in nabirds.tar.gz; fill in the form"),
        ("webfg_496", "web-car/train/a/1.jpg", {"subset": "bird"}, r"web-bird is missing; unpack web-bird.tar.gz into"),
    ],
)
def test_a_missing_annotation_file_is_named_with_its_archive(
    tmp_path: Path, name: str, image: str, options: dict[str, Any], message: str
) -> None:
    draw(tmp_path / str(reader_of(name)[1].folder) / image)
    fails(name, tmp_path, message, options)
