"""People's own images: one folder per class, or one CSV table.

Folders: `train/<class>/*` and `test/<class>/*`. The class is named after its folder.
Table: `images.csv` with the columns `path` (relative to the folder), `label` (class name), `split` (train or test) and,
if there are boxes, `x, y, width, height` in pixels. If both exist, the table is used.

Without a `test` split, `val` is the test set. If both exist, images in `val` are ignored: a suite holds out its own
validation images from train, in the same way for all datasets.

Classes are sorted by name. Hidden files and notes (.txt, .json, Thumbs.db …) beside the images are ignored. Any other
file that isn't an image is an error, because it may be an image that would be missed silently.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from datasets.formats.image_files import IMAGE_SUFFIXES, ImageFiles
from datasets.interface import DatasetError

TABLE = "images.csv"
BOX_COLUMNS = ("x", "y", "width", "height")
NOTE_SUFFIXES = frozenset(
    f".{kind}" for kind in ("txt", "md", "csv", "json", "xml", "yaml", "yml", "html", "db", "ini")
)
"""Files that are expected beside images and are not images."""


class Entry(NamedTuple):
    """One image."""

    path: str
    label: str
    split: str
    box: tuple[float, ...] | None = None
    """x, y, width, height in pixels."""


class Folder(ImageFiles):
    """The split given by the folders or the table; boxes if the table has them."""

    title = "your own images: train/<class>/* and test/<class>/*, or an images.csv"
    terms = "yours to know"
    any_folder = True

    def __init__(self, folder: Path) -> None:
        self.image_folder = folder
        entries = _read_table(folder) if (folder / TABLE).is_file() else _walk(folder)
        self.classes = tuple(sorted({entry.label for entry in entries if entry.split == "train"}))
        label_of = {name: label for label, name in enumerate(self.classes)}
        for entry in entries:
            if entry.label not in label_of:
                raise DatasetError(
                    f"{folder / entry.path}: class {entry.label!r} has no training image; "
                    "add some, or remove the class from the test images"
                )
        self.paths = tuple(entry.path for entry in entries)
        self.labels = np.array([label_of[entry.label] for entry in entries], dtype=np.int64)
        self.is_train = np.array([entry.split == "train" for entry in entries], dtype=bool)
        if entries and entries[0].box is not None:
            self.boxes = np.array([entry.box for entry in entries], dtype=np.float32)

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        return (folder / "train").is_dir() or (folder / TABLE).is_file()


def _walk(folder: Path) -> list[Entry]:
    """Every image in the class folders."""
    test = next((name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test is None:
        raise DatasetError(f"{folder} has no test folder; put the test images into {folder / 'test'}/<class>/")
    return [
        Entry(image.relative_to(folder).as_posix(), class_folder.name, split)
        for name, split in (("train", "train"), (test, "test"))
        for class_folder in _class_folders(folder / name)
        for image in _images_of(class_folder)
    ]


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


def _read_table(folder: Path) -> list[Entry]:
    """The images of `images.csv`. Every line is checked, also those of an unused `val`."""
    file = folder / TABLE
    columns, rows = _read_csv(file)
    _check_columns(file, columns)
    entries: dict[str, tuple[int, Entry, list[str]]] = {}
    for line, fields in rows:
        row = dict(zip(columns, fields, strict=True))
        entry = Entry(row["path"].replace("\\", "/"), row["label"], row["split"])
        _check_entry(folder, line, entry)
        if entry.path in entries:
            raise DatasetError(f"{file}, line {line}: {entry.path!r} is listed twice; remove one of the lines")
        entries[entry.path] = line, entry, [row[column] for column in BOX_COLUMNS if column in row]
    splits = {entry.split for _, entry, _ in entries.values()}
    test = "test" if "test" in splits else "val"
    if test not in splits:
        raise DatasetError(f"{file} has no line with split test; name the test images there")
    return [
        entry._replace(split="train" if entry.split == "train" else "test", box=_box(file, line, box) if box else None)
        for line, entry, box in entries.values()
        if entry.split in ("train", test)
    ]


def _read_csv(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The column names, and the fields of each line with its number; empty lines are skipped."""
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
                f"{file}, line {line}: {len(fields)} fields, but the first line names {len(columns)} columns; "
                'correct the line, and quote names that contain a comma ("a, b")'
            )
    return columns, rows


def _check_columns(file: Path, columns: list[str]) -> None:
    needed = ["path", "label", "split"]
    if any(column in columns for column in BOX_COLUMNS):
        needed += BOX_COLUMNS
    for column in needed:
        if columns.count(column) > 1:
            raise DatasetError(f"{file} has the column {column!r} twice; remove one of them")
        if column not in columns:
            raise DatasetError(
                f"{file} has no column {column!r}; it needs {', '.join(needed)} and has {', '.join(columns)}"
            )


def _check_entry(folder: Path, line: int, entry: Entry) -> None:
    where = f"{folder / TABLE}, line {line}"
    if entry.split not in ("train", "val", "test"):
        raise DatasetError(f"{where}: split {entry.split!r} should be train or test; correct the line")
    if not entry.label:
        raise DatasetError(f"{where}: {entry.path} has no label; fill it in or remove the line")
    if entry.path.startswith("/") or ".." in PurePosixPath(entry.path).parts:
        raise DatasetError(f"{where}: {entry.path!r} leads out of the folder; give a path below {folder}")


def _box(file: Path, line: int, fields: list[str]) -> tuple[float, ...]:
    for column, field in zip(BOX_COLUMNS, fields, strict=True):
        if not _is_finite(field):
            raise DatasetError(f"{file}, line {line}: {field!r} should be a number (column {column})")
    return tuple(map(float, fields))


def _is_finite(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False
