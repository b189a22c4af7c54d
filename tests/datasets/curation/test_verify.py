"""`data verify`: the command, and the faults it finds."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

import datasets
from datasets import Dataset, DatasetError
from datasets.formats.decode import read_image
from datasets.readers.cub_200_2011 import CUB
from datasets.readers.folder import Folder
from datasets.release import Expected
from tests.datasets.curation.conftest import verified
from tests.helpers.small_folders import CUB_NAMES, change, cub_like


def opened(folder: Path) -> Dataset:
    return datasets.open_dataset("cub_200_2011", folder.parent, complete=False)


def faults(dataset: Dataset) -> list[tuple[str, str]]:
    """Kind and sentence of each."""
    return [(fault.kind, fault.what) for fault in verified(dataset).faults]


def test_a_complete_dataset_has_no_fault(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    found = verified(opened(cub))
    assert found.faults == ()
    assert (found.images, found.classes, found.train, found.test) == (6, 3, 3, 3)
    assert found.reference == "no reference known"


def test_images_are_read_by_the_cores_this_process_may_use(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: set[int] = set()
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    image = CUB.image

    def noted(dataset: CUB, row: int) -> NDArray[np.uint8]:
        readers.add(threading.get_ident())
        return image(dataset, row)

    monkeypatch.setattr(CUB, "image", noted)
    verified(opened(cub))
    assert len(readers) == 1


def test_every_missing_empty_damaged_and_extra_image_is_named(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    images = cub / "images"
    for gone in ("001.Auk/a.jpg", "003.Owl/b.jpg"):
        (images / gone).unlink()
    shutil.rmtree(images / "002.Coot")
    (images / "001.Auk/b.jpg").write_bytes(b"")
    (images / "003.Owl/a.jpg").write_bytes((images / "003.Owl/a.jpg").read_bytes()[:400])
    (images / "003.Owl/z.PNG").write_bytes(b"")
    for other in ("._a.jpg", "notes.txt"):
        (images / "003.Owl" / other).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"003.Owl/a.jpg is truncated or damaged") as damaged:
        read_image(images / "003.Owl/a.jpg")
    assert faults(opened(cub)) == [
        ("missing", f"{images}/001.Auk/a.jpg is missing"),
        ("empty", f"{images}/001.Auk/b.jpg is empty"),
        ("missing", f"{images}/002.Coot/a.jpg is missing"),
        ("missing", f"{images}/002.Coot/b.jpg is missing"),
        ("damaged", str(damaged.value)),
        ("missing", f"{images}/003.Owl/b.jpg is missing"),
        ("extra", f"{images}/003.Owl/z.PNG is in no line of the table"),
    ]


def test_an_image_that_may_not_be_looked_at_is_a_fault_and_no_end(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = cub / "images" / CUB_NAMES[2]

    def refuse(method: Callable[[Path], object]) -> Callable[[Path], object]:
        def checked(path: Path) -> object:
            if path == denied:
                raise PermissionError(13, "Permission denied", str(path))
            return method(path)

        return checked

    dataset = opened(cub)
    for name in ("is_file", "read_bytes"):
        monkeypatch.setattr(Path, name, refuse(getattr(Path, name)))
    assert ("damaged", f"{denied} can't be read: Permission denied") in faults(dataset)


def test_faulty_tables_of_boxes_and_part_points_are_named(tmp_path: Path) -> None:
    folder = cub_like(tmp_path / "birds")
    change(folder / "bounding_boxes.txt", "7.5", "left")
    change(folder / "parts" / "part_locs.txt", "7 2", "7 3")
    found = {
        kind: what for kind, what in faults(datasets.open_dataset("birds", tmp_path)) if kind in ("boxes", "parts")
    }
    assert "bounding_boxes.txt, line 1: 'left' should be a number" in found["boxes"]
    assert "part_locs.txt, line 2: part 3 is outside 1 .. 2" in found["parts"]


def test_images_missing_from_a_persons_own_table_are_no_fault(tmp_path: Path, cub: Path) -> None:
    shutil.copytree(cub / "images", tmp_path / "own")
    lines = [f"{name},{name[:3]},{'train' if name.endswith('a.jpg') else 'test'}" for name in CUB_NAMES[:4]]
    (tmp_path / "own" / "images.csv").write_text("\n".join(["path,label,split", *lines]), encoding="utf-8")
    dataset = datasets.open_dataset("own", tmp_path)
    assert isinstance(dataset, Folder)
    assert faults(dataset) == []
    (tmp_path / "own" / CUB_NAMES[0]).unlink()
    (tmp_path / "own" / CUB_NAMES[2]).unlink()
    again = datasets.open_dataset("own", tmp_path, complete=False)
    assert [kind for kind, _ in faults(again)] == ["missing", "missing"]


def test_counts_and_split_are_compared_with_the_published_ones(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=200, train=3, test=4, split_sha256="0" * 64))
    found = verified(opened(cub))
    assert found.reference == "differs"
    assert [fault.what for fault in found.faults] == [
        "classes: 3, 200 were expected",
        "test: 3, 4 were expected",
        f"split: SHA-256 {found.split_sha256}, {'0' * 64} was expected",
    ]
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3, split_sha256=found.split_sha256))
    assert verified(opened(cub)).reference == "as published"


def test_verify_prints_a_summary_or_every_fault_or_json_with_exit_code_1(
    cub: Path, fgbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    words = ["data", "verify", "cub_200_2011", "--data", cub.parent]
    assert fgbench(*words)[0] == 0
    (cub / "images" / CUB_NAMES[0]).unlink()
    (cub / "images" / CUB_NAMES[1]).write_bytes(b"")
    code, said = fgbench(*words)
    assert code == 1
    assert "cub_200_2011: 2 faults in 6 images\n" in said
    assert f" {CUB_NAMES[0]} is missing\n" in said, "below the dataset's folder"
    code, said = fgbench(*words, "--all")
    assert code == 1
    assert f"missing: {cub}/images/{CUB_NAMES[0]} is missing\nempty: {cub}/images/{CUB_NAMES[1]} is empty\n" in said
    code, said = fgbench(*words, "--json")
    assert code == 1
    (row,) = json.loads(said)
    assert [fault["kind"] for fault in row["faults"]] == ["missing", "empty"]


def test_options_of_a_dataset_reach_verify(tmp_path: Path, fgbench: Callable[..., tuple[int, str]]) -> None:
    words = ["data", "verify", "synthetic", "--option", "classes=2", "--option", "train_per_class=3"]
    code, said = fgbench(*words, "--option", "test_per_class=1", "--json")
    assert code == 0
    assert json.loads(said)[0]["images"] == 8


def test_opening_a_dataset_names_the_first_missing_image_and_how_to_find_all(cub: Path) -> None:
    for name in CUB_NAMES[:3]:
        (cub / "images" / name).unlink()
    with pytest.raises(DatasetError, match=r"a.jpg is not on disk, nor are 2 others.*data verify cub_200_2011"):
        datasets.open_dataset("cub_200_2011", cub.parent)
