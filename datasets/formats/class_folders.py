"""Folders of classes as people have them: what a folder's name says of the split, and the images of each class."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from datasets.formats.image_files import IMAGE_SUFFIXES
from datasets.interface import DatasetError

SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""How people call the splits, in lower case -> split."""
NOTE_SUFFIXES = frozenset(
    f".{kind}" for kind in ("txt", "md", "csv", "json", "xml", "yaml", "yml", "html", "db", "ini")
)
"""Files that are expected beside images and are not images."""


def split_named(word: str) -> str | None:
    """`train`, `val` or `test` as people write them ("Train", "valid", "testing"); None for any other word."""
    return SPLIT_OF.get(word.strip().lower())


def split_folders(folder: Path) -> dict[str, Path]:
    """Split -> its folder, as far as there is one. Raises `DatasetError` if two folders mean one split."""
    found: dict[str, Path] = {}
    for entry in _visible(folder):
        split = split_named(entry.name) if entry.is_dir() else None
        if split is not None and (other := found.setdefault(split, entry)) != entry:
            raise DatasetError(f"{other} and {entry.name} both mean {split}; move the images of one into the other")
    return found


def is_unsplit(folder: Path) -> bool:
    """Whether `folder` has class folders with images and no folder that is named after a split."""
    folders = [entry for entry in _visible(folder) if entry.is_dir()]
    return not any(split_named(entry.name) for entry in folders) and any(
        file.suffix.lower() in IMAGE_SUFFIXES for entry in folders for file in _visible(entry)
    )


def class_name(written: str) -> str:
    """A class's name from its folder or label: Unicode form NFC, without spaces at its ends.

    Systems write "á" in two forms and tables get stray spaces; nobody means two classes by that.
    """
    return unicodedata.normalize("NFC", written).strip()


def class_folders(folder: Path) -> list[Path]:
    """The class folders, sorted. Raises `DatasetError` for none, for a blank name, and for a file beside them."""
    entries = list(_visible(folder))
    for entry in entries:
        if entry.is_file() and not _is_note(entry):
            raise DatasetError(f"{entry} lies outside the class folders; move it into one or remove it")
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DatasetError(f"{folder} has no class folder; put the images into {folder}/<class>/")
    if not all(class_name(entry.name) for entry in classes):
        raise DatasetError(f"{folder} has a class folder whose name is blank; rename it to the class")
    return classes


def images_of(folder: Path) -> list[Path]:
    """The images of a class folder, sorted. Raises `DatasetError` if there is none, or for anything else in it.

    Hidden files and notes (.txt, .json, Thumbs.db …) are ignored. Any other file that isn't an image is an error,
    because it may be an image that would be missed silently.
    """
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
