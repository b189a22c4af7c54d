"""Published datasets on disk: the true tables from `FGBENCH_METADATA`, and one small picture in place of every image.

The archives there hold the tables that a release has as files. Where a release has MATLAB files or folders instead,
they are written here from the lists in `derived/`.
"""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat, savemat

CARS_EDGES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def build(name: str, metadata: Path, below: Path, variant: str = "") -> Path:
    """A data root in `below` with the dataset `name`; `variant` as in `expected.yaml`, where it decides the files."""
    place_images(BUILDERS[name](without_images(name, metadata, below), variant))
    return below


def without_images(name: str, metadata: Path, below: Path) -> Path:
    """`below`, with the dataset's own tables alone."""
    with tarfile.open(metadata / name / "metadata.tar.xz") as archive:
        archive.extractall(below, filter="data")
    return below


def place_images(files: Iterable[Path]) -> None:
    """The same picture under every name: hard links, of which a file system allows 65 000 a file."""
    picture, folders = None, set[Path]()
    for file in files:
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
        if picture is None:
            Image.new("RGB", (4, 4), "green").save(file)
            picture = file
        else:
            os.link(picture, file)


def _words(file: Path, position: int) -> list[str]:
    """One field of each line of a table."""
    return [line.split()[position] for line in file.read_text(encoding="utf-8").splitlines()]


def _birds(folder: str) -> Callable[[Path, str], list[Path]]:
    return lambda root, _: [root / folder / "images" / path for path in _words(root / folder / "images.txt", 1)]


def _aircraft(root: Path, _: str) -> list[Path]:
    data = root / "fgvc-aircraft-2013b" / "data"
    lists = (data / f"images_variant_{split}.txt" for split in ("trainval", "test"))
    return [data / "images" / f"{image}.jpg" for file in lists for image in _words(file, 0)]


def _cars(root: Path, variant: str) -> list[Path]:
    folder, derived = root / "stanford_cars", root / "derived"
    if variant == "layout: together":
        with (derived / "cars_annos_together.csv").open(encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        annotations = [_car(row, relative_im_path=row["path"], test=int(row["test"])) for row in rows]
        classes = (folder / "devkit" / "cars_meta.mat").read_bytes()
        savemat(folder / "cars_annos.mat", {"annotations": structs(annotations), **_variables(classes)})
        return [folder / row["path"] for row in rows]
    with (derived / "anno_test.csv").open(encoding="utf-8") as text:
        tests = list(csv.DictReader(text, ["path", "x1", "y1", "x2", "y2", "class"]))
    annotations = [_car(row, fname=row["path"]) for row in tests]
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": structs(annotations)})
    trained = [folder / "cars_train" / f"{number:05d}.jpg" for number in range(1, 8145)]
    return trained + [folder / "cars_test" / row["path"] for row in tests]


def _car(row: dict[str, str], **more: Any) -> dict[str, Any]:
    edges = {name: int(row[name.removeprefix("bbox_")]) for name in CARS_EDGES}
    return {**edges, "class": int(row["class"]), **more}


def _variables(mat: bytes) -> dict[str, Any]:
    return {"class_names": loadmat(io.BytesIO(mat))["class_names"]}


def _dogs(root: Path, _: str) -> list[Path]:
    folder, paths = root / "stanford_dogs", []
    folder.mkdir()
    for split in ("train", "test"):
        file = root / "derived" / f"{split}_list.txt"
        images, labels = _words(file, 0), _words(file, 1)
        table = {"file_list": cells(images), "labels": np.array(labels, dtype=np.uint8)[:, None]}
        savemat(folder / f"{split}_list.mat", table)
        paths += images
    return [folder / "Images" / path for path in paths]


def _flowers(root: Path, _: str) -> list[Path]:
    return [root / "flowers-102" / "jpg" / f"image_{number:05d}.jpg" for number in range(1, 8190)]


def _pets(root: Path, _: str) -> list[Path]:
    folder = root / "oxford-iiit-pet"
    lists = (folder / "annotations" / f"{split}.txt" for split in ("trainval", "test"))
    return [folder / "images" / f"{image}.jpg" for file in lists for image in _words(file, 0)]


def _web(root: Path, variant: str) -> list[Path]:
    subset = variant.removeprefix("subset: ")
    comma = "," if subset == "car" else " "  # names of cars have blanks
    lists = (root / "derived" / f"web-{subset}_{split}.txt" for split in ("train", "val"))
    rows = (line for file in lists for line in file.read_text(encoding="utf-8").splitlines())
    return [root / "webfg_496" / f"web-{subset}" / row.partition(comma)[2] for row in rows]


BUILDERS: dict[str, Callable[[Path, str], list[Path]]] = {
    "cub_200_2011": _birds("CUB_200_2011"),
    "nabirds": _birds("nabirds"),
    "stanford_cars": _cars,
    "fgvc_aircraft": _aircraft,
    "stanford_dogs": _dogs,
    "oxford_flowers102": _flowers,
    "oxford_pets": _pets,
    "webfg_496": _web,
}
"""By dataset: writes what the archive lacks, and names the images."""


def cells(texts: list[str], shape: tuple[int, int] | None = None) -> np.ndarray:
    """A MATLAB cell array, a column unless a `shape` is given."""
    return np.array(texts, dtype=object).reshape(shape or (len(texts), 1))


def structs(rows: list[dict[str, Any]], kind: type[np.unsignedinteger[Any]] = np.uint16) -> np.ndarray:
    """A MATLAB 1 × N struct array whose numbers have a small type, as in the original files."""
    array = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for place, row in enumerate(rows):
        array[0, place] = tuple(kind(value) if isinstance(value, int) else value for value in row.values())
    return array
