"""`data split`: test images of an unsplit folder are chosen by class and seed, and never leak."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import DatasetError, open_dataset
from datasets.curation import split as splitting
from datasets.curation.split import Split
from tests.datasets.curation.conftest import Draw, verified
from tests.helpers.small_folders import fails

BIRDS = tuple(
    f"{name}/{number}.png" for name, count in (("auk", 10), ("coot", 7), ("owl", 2)) for number in range(count)
)


def split(own: Path, test: float = 0.3, seed: int = 0, overwrite: bool = False) -> Split:
    return splitting.split(own, test, seed, lambda done, total: None, overwrite)


def chosen(own: Path) -> set[str]:
    dataset = open_dataset(own.name, own.parent)
    return {path for path, train in zip(dataset.paths, dataset.is_train, strict=True) if not train}


def test_each_class_gives_its_share_and_at_least_one_image_to_each_side(noise: Draw) -> None:
    done = split(noise(*BIRDS))
    assert done.test == {"auk": 3, "coot": 2, "owl": 1}
    assert done.train == {"auk": 7, "coot": 5, "owl": 1}
    assert done.copies == 0
    dataset = open_dataset("own", done.table.parent.parent)
    assert dataset.counts == {"classes": 3, "train": 13, "test": 6}


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_an_extreme_share_leaves_one_image_on_either_side(noise: Draw, share: float) -> None:
    done = split(noise(*BIRDS), share)
    assert min((*done.train.values(), *done.test.values())) == 1


def test_the_choice_follows_the_seed_and_not_the_order_of_files(noise: Draw) -> None:
    own = noise(*BIRDS)
    split(own)
    first, table = chosen(own), (own / "images.csv").read_bytes()
    shutil.rmtree(own)
    own = noise(*reversed(BIRDS))
    split(own)
    assert (own / "images.csv").read_bytes() == table
    split(own, seed=1, overwrite=True)
    assert chosen(own) != first


def test_an_image_that_is_added_changes_no_other_class(noise: Draw) -> None:
    own = noise(*BIRDS)
    split(own)
    first = chosen(own)
    noise("coot/new.png")
    split(own, overwrite=True)
    assert {path for path in chosen(own) if "coot" not in path} == {path for path in first if "coot" not in path}


def test_copies_stay_on_one_side_and_pictures_of_two_classes_are_trained_on(noise: Draw) -> None:
    own = noise(*BIRDS)
    for number in range(7):
        shutil.copy(own / f"coot/{number}.png", own / f"coot/copy of {number}.png")
    shutil.copy(own / "auk/0.png", own / "owl/auk.png")
    done = split(own, 0.5)
    assert done.copies == 16
    assert set(done.in_two_classes) == {"auk/0.png", "owl/auk.png"}
    assert not set(done.in_two_classes) & chosen(own)
    assert done.test["coot"] == 6, "half of 14 in pairs"
    found = verified(open_dataset("own", own.parent))
    assert found.faults == ()
    assert {note.kind for note in found.notes} == {"copy"}


def test_a_class_without_two_different_pictures_is_named_and_nothing_written(noise: Draw) -> None:
    own = noise(*BIRDS, "emu/0.png", "ibis/0.png")
    shutil.copy(own / "emu/0.png", own / "emu/1.png")
    with pytest.raises(DatasetError, match=r"needs two different pictures .* add some or remove: emu, ibis$"):
        split(own)
    assert not (own / "images.csv").exists()


def test_unreadable_images_are_counted_and_nothing_written(noise: Draw) -> None:
    own = noise(*BIRDS)
    (own / "auk/3.png").write_bytes(b"")
    (own / "owl/1.png").write_bytes((own / "owl/1.png").read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"auk/3.png is empty; .*\(2 images can't be read\)"):
        split(own)
    assert not (own / "images.csv").exists()


def test_folders_whose_names_begin_with_a_space_or_hold_signs_of_csv_are_found_again(noise: Draw) -> None:
    own = noise(
        *(f"{name}/{number}.png" for name in (" auk", "coot, black", '"owl"', "rail\r1") for number in range(3))
    )
    split(own)
    dataset = open_dataset("own", own.parent)
    assert dataset.classes == ('"owl"', "auk", "coot, black", "rail\r1")
    assert len(dataset) == 12


@pytest.mark.parametrize(("name", "said"), [("\udce4.png", "is not UTF-8"), ("a\\b.png", "has a backslash")])
def test_a_name_that_a_table_can_not_hold_is_named_and_nothing_written(noise: Draw, name: str, said: str) -> None:
    own = noise(*BIRDS)
    (own / "auk/3.png").rename(own / "auk" / name)
    with pytest.raises(DatasetError, match=rf"the name 'auk/.*\.png' {said}"):
        split(own)
    assert sorted(path.name for path in own.iterdir()) == ["auk", "coot", "owl"]


def test_a_table_is_replaced_only_if_asked_and_a_split_folder_is_left_alone(noise: Draw) -> None:
    own = noise(*BIRDS)
    (own / "images.csv").write_text("mine")
    with pytest.raises(DatasetError, match=r"images.csv exists; --force replaces it"):
        split(own)
    assert (own / "images.csv").read_text() == "mine"
    assert split(own, overwrite=True).test.total() == 6
    assert [path.name for path in own.iterdir() if path.is_file()] == ["images.csv"], "no temporary file is left"
    noise("Test/auk/0.png", "train/auk/0.png")
    with pytest.raises(DatasetError, match=r"is split by its folders Test and train"):
        split(own, overwrite=True)


def test_classes_in_a_train_folder_alone_are_split(noise: Draw) -> None:
    own = noise(*(f"train/{path}" for path in BIRDS))
    fails("own", own.parent, r"has no test folder; .* run_all.py data split own --test 0.3")
    assert split(own).test.total() == 6
    assert all(path.startswith("train/") for path in chosen(own))


def test_an_unsplit_folder_names_the_command_which_says_what_is_next(
    noise: Draw, fgbench: Callable[..., tuple[int, str]], refused: Callable[..., tuple[int, str]]
) -> None:
    own = noise(*BIRDS)
    fails("own", own.parent, r"class folders and no split; .* run_all.py data split own --test 0.3")
    code, said = fgbench("data", "split", "own", "--test", "0.3", "--seed", "0", "--data", own.parent)
    assert code == 0
    assert "3 classes, 13 train, 6 test (31.6 %; 1 to 3 of each class)" in said
    assert "next: run_all.py data verify own" in said
    said = fgbench("data", "split", "own", "--test", "0.01", "--force", "--data", own.parent)[1]
    assert "; 1 of each class)" in said
    assert fgbench("data", "verify", "own", "--data", own.parent)[0] == 0
    for words, reason in (
        (("own", "--test", "1"), "must be between 0 and 1"),
        (("elsewhere",), "there is no such folder"),
        (("cub_200_2011",), "has a split of its own"),
    ):
        code, said = refused("data", "split", *words, "--data", own.parent, "--force")
        assert code == 2
        assert reason in said
