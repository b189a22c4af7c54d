"""Caltech-UCSD Birds-200-2011 (Wah et al., 2011), and any folder in its layout.

The layout: `images.txt` (id, path below images/), `image_class_labels.txt` (id, class from 1), `classes.txt` (class,
name), `train_test_split.txt` (id, 1 for train), and optionally `bounding_boxes.txt` (id, x, y, width, height) and
`parts/parts.txt` (part, name) with `parts/part_locs.txt` (id, part, x, y, 1 where visible). Image ids are numbers
with gaps allowed; classes are 1 .. K and become labels 0 .. K-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.archives import Archive, Expected
from datasets.decode import read_image
from datasets.files import file_stamp
from datasets.interface import Dataset, DatasetError, PartPoints

TABLES = ("images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt")


class Line(NamedTuple):
    """One line of a table, cut at blanks."""

    file: Path
    number: int
    fields: list[str]

    def error(self, fault: str) -> DatasetError:
        return DatasetError(f"{self.file}, line {self.number}: {fault}")

    def integer(self, position: int) -> int:
        return int(self._number(position, int, "a whole number"))

    def real(self, position: int) -> float:
        return float(self._number(position, float, "a number"))

    def _number(self, position: int, kind: type[int] | type[float], words: str) -> float:
        try:
            return kind(self.fields[position])
        except ValueError:
            raise self.error(f"{self.fields[position]!r} should be {words}; correct the line") from None


class CUB(Dataset):
    """The official split; boxes and part points where their files are there."""

    title = "Caltech-UCSD Birds-200-2011: 200 bird species, 5 994 train and 5 794 test photos"
    terms = "non-commercial research and education; the photographers keep their rights"
    folder = "CUB_200_2011"
    archives = (
        Archive(
            "CUB_200_2011.tgz",
            ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            md5="97eceeb196236b17998738112f37df78",
            size=1_150_585_339,
            gives=("CUB_200_2011",),
        ),
    )

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.name = folder.name
        if folder.name != self.folder:
            self.title = f"{folder.name}: images in the layout of CUB-200-2011"
        else:
            self.expected = Expected(classes=200, train=5_994, test=5_794)
        self._place, self.paths = _images(folder)
        self.classes = _names(folder / "classes.txt", "class")
        self.labels = self._labels()
        self.is_train = self._split()
        if (folder / "bounding_boxes.txt").is_file():
            self.boxes = self._boxes()
        if (folder / "parts" / "part_locs.txt").is_file():
            self.parts = self._parts()

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return (folder / "images.txt").is_file() and (folder / "train_test_split.txt").is_file()

    @property
    def content_key(self) -> dict[str, Any]:
        return {"files": file_stamp(self.root / "images", self.paths)}

    def image(self, index: int) -> NDArray[np.uint8]:
        return read_image(self.root / "images" / self.paths[index])

    def _labels(self) -> NDArray[np.int64]:
        labels = np.full(len(self.paths), -1, dtype=np.int64)
        for place, line in self._of_images("image_class_labels.txt", 2):
            label = line.integer(1)
            if not 1 <= label <= len(self.classes):
                raise line.error(
                    f"class {label} is outside 1 .. {len(self.classes)}; correct it or add it to classes.txt"
                )
            labels[place] = label - 1
        return labels

    def _split(self) -> NDArray[np.bool_]:
        is_train = np.zeros(len(self.paths), dtype=bool)
        for place, line in self._of_images("train_test_split.txt", 2):
            if line.fields[1] not in ("0", "1"):
                raise line.error(f"{line.fields[1]!r} should be 1 for train or 0 for test; correct the line")
            is_train[place] = line.fields[1] == "1"
        return is_train

    def _boxes(self) -> NDArray[np.float32]:
        boxes = np.zeros((len(self.paths), 4), dtype=np.float32)
        for place, line in self._of_images("bounding_boxes.txt", 5):
            boxes[place] = [line.real(position) for position in range(1, 5)]
        return boxes

    def _parts(self) -> PartPoints:
        names = _names(self.root / "parts" / "parts.txt", "part")
        xy = np.zeros((len(self.paths), len(names), 2), dtype=np.float32)
        visible = np.zeros((len(self.paths), len(names)), dtype=bool)
        for line in _lines(self.root / "parts" / "part_locs.txt", 5):
            part = line.integer(1)
            if not 1 <= part <= len(names):
                raise line.error(f"part {part} is outside 1 .. {len(names)}; correct it or add it to parts.txt")
            place = self._place_of(line)
            xy[place, part - 1] = line.real(2), line.real(3)
            visible[place, part - 1] = line.fields[4] == "1"
        return PartPoints(names, xy, visible)

    def _of_images(self, file: str, fields: int) -> Iterator[tuple[int, Line]]:
        """Each line of a table that has one line for each image, with the image's place in `paths`."""
        seen = np.zeros(len(self.paths), dtype=bool)
        for line in _lines(self.root / file, fields):
            place = self._place_of(line)
            if seen[place]:
                raise line.error(f"image {line.fields[0]} stands in this file twice; remove one of the lines")
            seen[place] = True
            yield place, line
        if not seen.all():
            missing = int(np.flatnonzero(~seen)[0])
            identity = next(identity for identity, place in self._place.items() if place == missing)
            raise DatasetError(
                f"{self.root / file}: image {identity} ({self.paths[missing]}) has no line here; "
                "add one or remove the image from images.txt"
            )

    def _place_of(self, line: Line) -> int:
        identity = line.fields[0]
        if identity not in self._place:
            raise line.error(f"image {identity} is not in images.txt; remove the line or add the image there")
        return self._place[identity]


def _images(folder: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Image id -> place in the table, and the paths; every file is there."""
    place: dict[str, int] = {}
    paths: dict[str, None] = {}
    for line in _lines(folder / "images.txt", 2, text_at_end=True):
        identity, path = line.fields
        if identity in place or path in paths:
            raise line.error(f"{identity if identity in place else path} is listed twice; remove one of the lines")
        if not (folder / "images" / path).is_file():
            raise line.error(f"images/{path} is not on disk; restore the file or remove the image from all tables")
        place[identity] = len(place)
        paths[path] = None
    if not paths:
        raise DatasetError(f"{folder / 'images.txt'} lists no image; restore the file")
    return place, tuple(paths)


def _names(file: Path, what: str) -> tuple[str, ...]:
    """Names of classes or parts, numbered 1, 2 … in any order of lines."""
    names: dict[int, str] = {}
    for line in _lines(file, 2, text_at_end=True):
        if line.integer(0) in names:
            raise line.error(f"{what} {line.fields[0]} is named twice; remove one of the lines")
        names[line.integer(0)] = line.fields[1]
    if sorted(names) != list(range(1, len(names) + 1)):
        missing = next(number for number in range(1, len(names) + 1) if number not in names)
        raise DatasetError(f"{file}: {what} {missing} of 1 .. {len(names)} has no name; number them without gaps")
    return tuple(names[number] for number in sorted(names))


def _lines(file: Path, fields: int, *, text_at_end: bool = False) -> Iterator[Line]:
    """The lines of a table, empty ones left out. With `text_at_end` the last field may hold blanks."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} can't be read ({error}); restore it from the dataset's archive") from error
    for number, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        line = Line(file, number, content.strip().split(maxsplit=fields - 1 if text_at_end else -1))
        if len(line.fields) != fields:
            raise line.error(f"{fields} fields were expected, not {len(line.fields)}; correct the line")
        yield line
