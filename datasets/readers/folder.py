"""People's own images: one folder per class, or one CSV table.

Folders: `train/<class>/*` and `test/<class>/*`. The class is named after its folder. `Train`, `training`, `testing` …
mean the same.
Table: `images.csv` with the columns `path` (relative to the folder), `label` (class name), `split` (train or test) and,
if there are boxes, `x, y, width, height` in pixels. If both exist, the table is used.

Without a `test` split, `val` (or `valid`, `validation`) is the test set: nothing is chosen on it here, because a suite
holds out its own validation images from train, in the same way for all datasets. If both exist, images in `val` are
ignored. `remarks` says which it was.

Classes are sorted by name. Names that differ only in spaces at their ends or in Unicode form (NFC, NFD) are one class;
paths stay as they are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from datasets.formats.class_folders import class_folders, class_name, images_of, split_folders, split_named
from datasets.formats.image_files import ImageFiles
from datasets.formats.image_table import BOX_COLUMNS, TABLE, read_table
from datasets.formats.text_tables import TOO_LARGE
from datasets.interface import DatasetError


class Entry(NamedTuple):
    """One image."""

    path: str
    written: str
    """The class's name as it is written."""
    split: str
    """train, val or test"""
    box: tuple[float, ...] | None = None
    """x, y, width, height in pixels."""

    @property
    def label(self) -> str:
        """The class's name."""
        return class_name(self.written)


class Folder(ImageFiles):
    """The split given by the folders or the table; boxes if the table has them."""

    layout = "train/<class>/* and test/<class>/*, or an images.csv"
    title = f"your own images: {layout}"
    terms = "yours to know"

    def __init__(self, folder: Path) -> None:
        self.image_folder = folder
        found, splits = _read_table(folder) if _has_table(folder) else _walk(folder)
        entries = _of_train_and_test(found)
        self.remarks = (*_on_val(splits), *_spellings(entries))
        self.classes = tuple(sorted({entry.label for entry in entries}))
        label_of = {name: label for label, name in enumerate(self.classes)}
        self.paths = tuple(entry.path for entry in entries)
        self.labels = np.array([label_of[entry.label] for entry in entries], dtype=np.int64)
        self.is_train = np.array([entry.split == "train" for entry in entries], dtype=bool)
        if entries and entries[0].box is not None:
            self.boxes = np.array([entry.box for entry in entries], dtype=np.float32)

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        try:
            named = {split_named(entry.name) for entry in folder.iterdir() if entry.is_dir()}
        except OSError:  # a folder of somebody else's
            return False
        return "train" in named or (folder / TABLE).is_file()


def _has_table(folder: Path) -> bool:
    """Raises `DatasetError` for a table that can't be opened: without it the split of the folders would be taken."""
    table = folder / TABLE
    if not table.is_file() and os.path.lexists(table):
        what = "is a link to a file that is not there" if table.is_symlink() else "is no file"
        raise DatasetError(f"{table} {what}; restore the table, or remove it to use the split of the folders")
    return table.is_file()


def _of_train_and_test(entries: list[Entry]) -> list[Entry]:
    """Without the images of `val`, or with those as the test set if there is no other."""
    if any(entry.split == "test" for entry in entries):
        return [entry for entry in entries if entry.split != "val"]
    return [entry._replace(split="test") if entry.split == "val" else entry for entry in entries]


def _on_val(splits: Mapping[str, str]) -> list[str]:
    """What became of `val`, if it is among the splits (split -> as it is written)."""
    if "val" not in splits:
        return []
    if "test" in splits:
        return [f"{splits['val']} is not used: validation images are taken from the training images"]
    return [f"{splits['val']} is the test set, since there is no test; nothing is chosen on it"]


def _spellings(entries: Iterable[Entry]) -> list[str]:
    """A sentence for each class whose name is written in several ways."""
    written: dict[str, set[str]] = {}
    for entry in entries:
        written.setdefault(entry.label, set()).add(entry.written)
    return [
        f"class {name!r} is written in {len(ways)} ways, {', '.join(map(ascii, sorted(ways)))}, and read as one"
        for name, ways in sorted(written.items())
        if len(ways) > 1
    ]


def _walk(folder: Path) -> tuple[list[Entry], dict[str, str]]:
    """Every image in the class folders, without those of an unused `val`; and split -> the name of its folder."""
    folders = split_folders(folder)
    if "train" not in folders:
        raise DatasetError(f"{folder} has no train folder; put the training images into {folder / 'train'}/<class>/")
    if not folders.keys() & {"test", "val"}:
        raise DatasetError(
            f"{folder} has no test folder; put the test images into {folder / 'test'}/<class>/, "
            f"or let some be chosen: run_all.py data split {folder.name} --test 0.3"
        )
    entries = [
        Entry(image.relative_to(folder).as_posix(), one_class.name, split)
        for split in ("train", "test" if "test" in folders else "val")
        for one_class in class_folders(folders[split])
        for image in images_of(one_class)
    ]
    return entries, {split: f"{one.name}/" for split, one in folders.items()}


def _read_table(folder: Path) -> tuple[list[Entry], dict[str, str]]:
    """The images of `images.csv`, and which splits it has. Every line is checked, also those of an unused `val`."""
    file = folder / TABLE
    entries: dict[PurePosixPath, tuple[int, Entry]] = {}
    faults = []
    for line, row in read_table(file):
        try:
            entry = _entry(f"{file}, line {line}", folder, row)
        except DatasetError as error:
            faults.append(str(error))
            continue
        first, other = entries.setdefault(PurePosixPath(entry.path), (line, entry))
        if first != line:
            faults.append(
                f"{file}, line {line}: {entry.path!r} is listed twice, in line {first} for {other.split} "
                f"and here for {entry.split}; remove one of the lines"
            )
    if faults:
        raise DatasetError(faults[0] + (f" ({len(faults)} lines have faults)" if len(faults) > 1 else ""))
    found = [entry for _, entry in entries.values()]
    splits = {entry.split: f"the split {entry.split}" for entry in found}
    if not splits.keys() & {"test", "val"}:
        raise DatasetError(f"{file} has no line with split test; name the test images there")
    return found, splits


def _entry(where: str, folder: Path, row: dict[str, str]) -> Entry:
    """One line of the table. Raises `DatasetError` beginning with `where`."""
    split = split_named(row["split"])
    path = row["path"].replace("\\", "/")
    if split is None:
        raise DatasetError(f"{where}: split {row['split']!r} should be train or test; correct the line")
    if not class_name(row["label"]):
        raise DatasetError(f"{where}: {path} has no label; fill it in or remove the line")
    if not path.strip():
        raise DatasetError(f"{where}: the path is empty; fill it in or remove the line")
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise DatasetError(f"{where}: {path!r} leads out of the folder; give a path below {folder}")
    return Entry(path, row["label"], split, _box(where, row) if BOX_COLUMNS[0] in row else None)


def _box(where: str, row: dict[str, str]) -> tuple[float, ...]:
    for column in BOX_COLUMNS:
        if not _is_number(row[column]):
            raise DatasetError(f"{where}: {row[column]!r} should be a number (column {column}); correct it")
    return tuple(float(row[column]) for column in BOX_COLUMNS)


def _is_number(field: str) -> bool:
    try:
        return abs(float(field)) < TOO_LARGE
    except ValueError:
        return False
