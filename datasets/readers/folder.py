"""People's own images: a folder per class, or one CSV table.

Folders: `train/<class>/*` and `test/<class>/*`; a class is called what its folder is called.
Table: `images.csv` with the columns `path` (below the folder), `label` (class name), `split` (train or test), and
`x, y, width, height` in pixels where there are boxes. Where both exist the table counts.

`val` stands for `test` where there is no `test`. With both, the images of `val` take no part: the suite holds out its
own slice of train, alike for all datasets.

Classes are in the order of their sorted names. Hidden files and notes (.txt, .json, Thumbs.db …) beside the images are
passed over; any other file that isn't an image is an error, for it may be an image that would be missed in silence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from datasets.formats.image_files import ImageFiles
from datasets.interface import Dataset, DatasetError

TABLE = "images.csv"
BOX_COLUMNS = ("x", "y", "width", "height")
IMAGE_SUFFIXES = frozenset(
    f".{kind}" for kind in ("jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "avif")
)
NOTE_SUFFIXES = frozenset(
    f".{kind}" for kind in ("txt", "md", "csv", "json", "xml", "yaml", "yml", "html", "db", "ini")
)
"""Files that lie beside images and aren't meant as such."""


class Folder(ImageFiles, Dataset):
    """The split that the folders or the table give; boxes where the table has them."""

    title = "your own images: train/<class>/* and test/<class>/*, or an images.csv"
    terms = "yours to know"
    image_folder: Path

    def __init__(self, folder: Path) -> None:
        self.root = self.image_folder = folder
        self.name = folder.name
        table = _read_table(folder) if (folder / TABLE).is_file() else _walk(folder)
        known = sorted(set(table["label"][table["split"] == "train"]))
        self._refuse_untrained(table, set(known))
        self.classes = tuple(known)
        self.paths = tuple(table["path"])
        self.labels = np.searchsorted(known, table["label"].to_numpy(dtype=str)).astype(np.int64)
        self.is_train = (table["split"] == "train").to_numpy(dtype=bool)
        if BOX_COLUMNS[0] in table:
            self.boxes = table[list(BOX_COLUMNS)].to_numpy(dtype=np.float32)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() or (folder / TABLE).is_file()

    def _refuse_untrained(self, table: pd.DataFrame, known: set[str]) -> None:
        untrained = table[~table["label"].isin(known)]
        if len(untrained):
            first = untrained.iloc[0]
            raise DatasetError(
                f"{self.root / first['path']}: class {first['label']!r} has no training image; "
                "add some, or remove the class from the test images"
            )


def _walk(folder: Path) -> pd.DataFrame:
    """path, label, split of every image in the class folders."""
    held_out = next((name for name in ("test", "val") if (folder / name).is_dir()), None)
    if held_out is None:
        raise DatasetError(f"{folder} has no test folder; put the test images into {folder / 'test'}/<class>/")
    rows = [
        (image.relative_to(folder).as_posix(), label.name, split)
        for name, split in (("train", "train"), (held_out, "test"))
        for label in _class_folders(folder / name)
        for image in _images_of(label)
    ]
    return pd.DataFrame(rows, columns=["path", "label", "split"])


def _class_folders(folder: Path) -> list[Path]:
    entries = list(_visible(folder))
    for entry in entries:
        if entry.is_file() and not _is_note(entry):
            raise DatasetError(f"{entry} lies outside the class folders; move it into one or remove it")
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DatasetError(f"{folder} has no class folder; put the images into {folder}/<class>/")
    return classes


def _images_of(folder: Path) -> list[Path]:
    entries = [entry for entry in _visible(folder) if not _is_note(entry)]
    for entry in entries:
        if entry.is_dir():
            raise DatasetError(f"{entry} is a folder within a class; move its images up into {folder}")
        if entry.suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(f"{entry} is not an image that can be read; convert it or remove it")
    if not entries:
        raise DatasetError(f"{folder} holds no image; add some or remove the folder")
    return entries


def _visible(folder: Path) -> Iterator[Path]:
    return (entry for entry in sorted(folder.iterdir()) if not entry.name.startswith("."))


def _is_note(entry: Path) -> bool:
    return entry.is_file() and entry.suffix.lower() in NOTE_SUFFIXES


def _read_table(folder: Path) -> pd.DataFrame:
    """path, label, split and, where there are, boxes; every line checked."""
    file = folder / TABLE
    table = _read_csv(file)
    _check_columns(file, table)
    table["path"] = table["path"].str.replace("\\", "/")
    held_out = "test" if (table["split"] == "test").any() else "val"
    for line, path, label, split in table[["path", "label", "split"]].itertuples():
        _check_line(folder, line, path, label, split)
    _refuse_lines(file, table["path"].duplicated(), table["path"], "is listed twice; remove one of the lines")
    if (split := table["split"]).isin(("train", held_out)).sum() == (split == "train").sum():
        raise DatasetError(f"{file} has no line with split test; name the test images there")
    table = table[split.isin(("train", held_out))].copy()
    table["split"] = table["split"].replace("val", "test")
    for column in BOX_COLUMNS:
        if column in table:
            numbers = pd.to_numeric(table[column], errors="coerce")
            _refuse_lines(file, ~np.isfinite(numbers), table[column], f"should be a number (column {column})")
            table[column] = numbers
    return table


def _read_csv(file: Path) -> pd.DataFrame:
    """The fields as text, by their line in the file; empty lines are left out.

    Python's own reader knows the lines. pandas' takes a field too many for the name of its row.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, skipinitialspace=True, strict=True)
            lines = [(reader.line_num, fields) for fields in reader if fields not in ([], [""])]
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{file} can't be read as CSV: {error}") from error
    if not lines:
        raise DatasetError(f"{file} can't be read as CSV: it is empty")
    (_, columns), *rows = lines
    for line, fields in rows:
        if len(fields) != len(columns):
            raise DatasetError(
                f"{file}, line {line}: {len(fields)} fields, and the first line names {len(columns)} columns; "
                'correct the line, a comma that is part of a name stands in quotes ("a, b")'
            )
    return pd.DataFrame([fields for _, fields in rows], [line for line, _ in rows], columns, dtype=str)


def _check_columns(file: Path, table: pd.DataFrame) -> None:
    needed = ["path", "label", "split"]
    if any(column in table for column in BOX_COLUMNS):
        needed += BOX_COLUMNS
    for column in needed:
        if list(table.columns).count(column) > 1:
            raise DatasetError(f"{file} has the column {column!r} twice; remove one of them")
        if column not in table:
            raise DatasetError(
                f"{file} has no column {column!r}; it needs {', '.join(needed)} and has {', '.join(table.columns)}"
            )


def _check_line(folder: Path, line: Any, path: str, label: str, split: str) -> None:
    where = f"{folder / TABLE}, line {line}"
    if split not in ("train", "val", "test"):
        raise DatasetError(f"{where}: split {split!r} should be train or test; correct the line")
    if not label:
        raise DatasetError(f"{where}: {path} has no label; fill it in or remove the line")
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise DatasetError(f"{where}: {path!r} leads out of the folder; give a path below {folder}")


def _refuse_lines(file: Path, wrong: pd.Series, values: pd.Series, fault: str) -> None:
    if wrong.any():
        line: Any = wrong.idxmax()
        raise DatasetError(f"{file}, line {line}: {values[line]!r} {fault}")
