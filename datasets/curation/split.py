"""Splits a folder of classes: chooses test images and writes `images.csv`, which the reader of own images reads.

The choice depends on the seed and the images' paths, never on the order of files. In each class the same share of
images is for testing. Copies of a picture stay on one side, since a test image that was trained on tells nothing. A
picture that lies in two classes is always for training: as a test image it would have two right answers.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from datasets.curation.copies import groups
from datasets.curation.images import pixel_digest
from datasets.formats.class_folders import class_folders, class_name, images_of, split_folders
from datasets.formats.decode import read_image
from datasets.formats.image_table import TABLE, write_table
from datasets.interface import DatasetError, OnProgress, require_utf8
from results.values.names import shortened


@dataclass(frozen=True)
class Split:
    """What was written."""

    table: Path
    train: Counter[str]
    """Images of each class."""
    test: Counter[str]
    copies: int
    """Images whose picture is there more than once."""
    in_two_classes: tuple[str, ...]
    """Paths of pictures that lie in more than one class."""


def split(folder: Path, test: float, seed: int, on_progress: OnProgress, overwrite: bool = False) -> Split:
    """Splits the classes in `folder`, or in its `train` if that is its only split; `test` is the share of each class.

    Every class gets at least one training and one test image. Raises `DatasetError` if a class has no two different
    pictures, an image can't be read, a name can't be written into a table, the folder is split already, or `images.csv`
    exists and `overwrite` is false.
    """
    if not 0 < test < 1:
        raise DatasetError(f"the share of test images must be between 0 and 1, not {test:g}; for example: --test 0.3")
    table = folder / TABLE
    if table.exists() and not overwrite:
        raise DatasetError(f"{table} exists; --force replaces it")
    files = [(image, class_name(one.name)) for one in class_folders(_unsplit(folder)) for image in images_of(one)]
    paths = [file.relative_to(folder).as_posix() for file, _ in files]
    labels = [label for _, label in files]
    _require_writable(folder, paths)
    same = groups(_digests([file for file, _ in files], on_progress))
    chosen = _chosen(paths, labels, same, test, seed)
    write_table(table, zip(paths, labels, ["test" if one else "train" for one in chosen], strict=True))
    return Split(
        table,
        Counter(label for label, one in zip(labels, chosen, strict=True) if not one),
        Counter(label for label, one in zip(labels, chosen, strict=True) if one),
        sum(map(len, same)),
        tuple(paths[place] for rows in same if len({labels[row] for row in rows}) > 1 for place in rows),
    )


def _unsplit(folder: Path) -> Path:
    """The folder whose folders are the classes. Raises `DatasetError` if there is a split already."""
    folders = split_folders(folder)
    if not folders:
        return folder
    if list(folders) == ["train"]:
        return folders["train"]
    names = " and ".join(found.name for found in folders.values())
    raise DatasetError(
        f"{folder} is split by its folders {names}; to split it anew, put all class folders side by side"
    )


def _require_writable(folder: Path, paths: Sequence[str]) -> None:
    """Raises `DatasetError` for a path that the table can't hold, or that its reader would read as another."""
    require_utf8(folder, paths)
    for path in paths:
        if "\\" in path:
            raise DatasetError(f"{folder}: the name {path!r} has a backslash, which is read as a slash; rename it")


def _digests(files: Sequence[Path], on_progress: OnProgress) -> list[bytes]:
    """Of each picture. Raises `DatasetError` naming the first that can't be read, and how many there are."""
    import joblib  # only here: it is slow to import

    digests: list[bytes] = []
    unreadable: list[DatasetError] = []
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for done, found in enumerate(pool.map(_digest, files), start=1):
            if isinstance(found, DatasetError):
                unreadable.append(found)
            else:
                digests.append(found)
            on_progress(done, len(files))
    if unreadable:
        others = f" ({len(unreadable)} images can't be read)" if len(unreadable) > 1 else ""
        raise DatasetError(f"{unreadable[0]}{others}")
    return digests


def _digest(file: Path) -> bytes | DatasetError:
    try:
        return pixel_digest(read_image(file))
    except DatasetError as error:
        return error


def _chosen(paths: list[str], labels: list[str], same: list[list[int]], test: float, seed: int) -> list[bool]:
    """Whether each image is for testing; `same` are the places of copies. Raises `DatasetError` for poor classes."""
    picture = list(range(len(paths)))  # of each image: the place of the first of its copies
    for rows in same:
        for row in rows:
            picture[row] = min(rows, key=paths.__getitem__)
    copies, classes, pictures = Counter(picture), defaultdict(set), defaultdict(set)
    for one, label in zip(picture, labels, strict=True):
        classes[one].add(label)
        pictures[label].add(one)
    images = Counter(labels)
    chosen: set[int] = set()
    poor = []
    for label, found in sorted(pictures.items()):
        own = [one for one in found if len(classes[one]) == 1]
        if len(found) < 2 or not own:
            poor.append(label)
            continue
        ranked = sorted(own, key=lambda one: hashlib.sha256(f"{seed}\t{paths[one]}".encode()).digest())
        most = min(len(ranked), len(found) - 1)  # one is left for training
        chosen.update(_filled(ranked, copies, round(test * images[label]), most))
    if poor:
        raise DatasetError(
            "a class needs two different pictures to be split, one of them in no other class; "
            f"add some or remove: {shortened(poor)}"
        )
    return [one in chosen for one in picture]


def _filled(ranked: list[int], copies: Counter[int], wanted: int, most: int) -> list[int]:
    """Pictures in the order of their ranks that, with their copies, fit into `wanted` images: 1 to `most`."""
    taken: list[int] = []
    for one in ranked:
        if len(taken) < most and copies[one] <= wanted:
            taken.append(one)
            wanted -= copies[one]
    return taken or [min(ranked, key=copies.__getitem__)]
