"""Text tables in the layout of CUB-200-2011: one file per kind of annotation, one line per image, joined by image id.

`images.txt` (id, path below images/), `train_test_split.txt` (id, 1 for train), `bounding_boxes.txt` (id, x, y, width,
height), `sizes.txt` (id, width, height), `image_class_labels.txt` (id, class id), `parts/parts.txt` (part, name) and
`parts/part_locs.txt` (id, part, x, y, 1 if visible). An image id is any word; the lines of a file can be in any order.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.formats.encoded_text import read_text
from datasets.formats.image_files import ImageFiles
from datasets.interface import DatasetError, PartPoints
from results.values.text import shown

BOXES = "bounding_boxes.txt"
PART_POINTS = "parts/part_locs.txt"
TOO_LARGE = 2**63
"""The first whole number that int64 can't hold, and far beyond any id or pixel."""


class Line(NamedTuple):
    """One line of a table, split at blanks."""

    file: Path
    number: int
    fields: list[str]

    def error(self, fault: str) -> DatasetError:
        """An error to raise, with file and line."""
        return DatasetError(f"{self.file}, line {self.number}: {fault}")

    def integer(self, position: int) -> int:
        """A field as a whole number that int64 can hold. Raises `DatasetError`."""
        return int(self._number(position, int, "a whole number"))

    def real(self, position: int) -> float:
        """A field as a finite number. Raises `DatasetError`."""
        value = float(self._number(position, float, "a number"))
        if not math.isfinite(value):
            raise self.error(f"{self.fields[position]!r} should be a finite number; correct the line")
        return value

    def _number(self, position: int, kind: type[int] | type[float], words: str) -> float:
        try:
            value = kind(self.fields[position])
        except ValueError:
            raise self.error(f"{shown(self.fields[position])} should be {words}; correct the line") from None
        if TOO_LARGE <= abs(value) < math.inf:
            raise self.error(f"{shown(self.fields[position])} is too large; correct the line")
        return value


def lines(file: Path, fields: int, *, text_at_end: bool = False) -> Iterator[Line]:
    """The non-empty lines of a table. With `text_at_end` the last field may contain blanks.

    Raises `MissingAnnotation` if there is no file, and `DatasetError` if it can't be read or a line has another number
    of fields.
    """
    for number, content in enumerate(read_text(file).splitlines(), start=1):
        if not content.strip():
            continue
        line = Line(file, number, content.strip().split(maxsplit=fields - 1 if text_at_end else -1))
        if len(line.fields) != fields:
            raise line.error(f"{fields} fields were expected, not {len(line.fields)}; correct the line")
        yield line


def names_by_id(file: Path, what: str) -> dict[int, str]:
    """Id -> name of classes or parts. Raises `DatasetError` if an id is listed twice."""
    names: dict[int, str] = {}
    for line in lines(file, 2, text_at_end=True):
        if line.integer(0) in names:
            raise line.error(f"{what} {line.fields[0]} is named twice; remove one of the lines")
        names[line.integer(0)] = line.fields[1]
    return names


def numbered_names(file: Path, what: str, first: int = 1) -> tuple[str, ...]:
    """Names by id, for the ids `first`, `first` + 1 … in any order of lines. Raises `DatasetError` for a gap."""
    names = names_by_id(file, what)
    last = first + len(names) - 1
    for number in range(first, last + 1):
        if number not in names:
            raise DatasetError(f"{file}: {what} {number} of {first} .. {last} has no name; number them without gaps")
    return tuple(names[number] for number in sorted(names))


class ImageTables:
    """The images of a folder in this layout and their annotations, in the order of `images.txt`.

    All methods raise `DatasetError` naming file and line. `open_dataset` checks that the images exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place: dict[str, int] = {}  # of an image id in `paths`
        paths: dict[str, None] = {}
        for line in lines(folder / "images.txt", 2, text_at_end=True):
            identity, path = line.fields
            if identity in self._place or path in paths:
                twice = identity if identity in self._place else path
                raise line.error(f"{twice} is listed twice; remove one of the lines")
            self._place[identity] = len(self._place)
            paths[path] = None
        if not paths:
            raise DatasetError(f"{folder / 'images.txt'} lists no image; restore the file")
        self.paths = tuple(paths)

    def class_ids(self, known: Container[int]) -> NDArray[np.int64]:
        """(N,) the class id of each image, one of those `known` from classes.txt."""
        ids = np.zeros(len(self.paths), dtype=np.int64)
        for place, line in self._of_images("image_class_labels.txt", 2):
            ids[place] = line.integer(1)
            if line.integer(1) not in known:
                raise line.error(f"class {line.fields[1]} is not in classes.txt; correct it or add it there")
        return ids

    def split(self) -> NDArray[np.bool_]:
        """(N,) True for training images."""
        is_train = np.zeros(len(self.paths), dtype=bool)
        for place, line in self._of_images("train_test_split.txt", 2):
            if line.fields[1] not in ("0", "1"):
                raise line.error(f"{line.fields[1]!r} should be 1 for train or 0 for test; correct the line")
            is_train[place] = line.fields[1] == "1"
        return is_train

    def reals(self, file: str, columns: int) -> NDArray[np.float32] | None:
        """(N, columns) the numbers of each image, as of `bounding_boxes.txt`; None if there is no such file."""
        if not (self.folder / file).is_file():
            return None
        numbers = np.zeros((len(self.paths), columns), dtype=np.float32)
        for place, line in self._of_images(file, 1 + columns):
            numbers[place] = [line.real(position) for position in range(1, 1 + columns)]
        return numbers

    def part_names(self, first: int) -> tuple[str, ...]:
        """Names of the parts, whose ids count from `first` on; empty if there is no file of part points."""
        if not (self.folder / PART_POINTS).is_file():
            return ()
        return numbered_names(self.folder / "parts" / "parts.txt", "part", first)

    def parts(self, first: int) -> PartPoints | None:
        """Part points, for part ids from `first` on; None if there is no file."""
        file = self.folder / PART_POINTS
        if not file.is_file():
            return None
        names = self.part_names(first)
        last = first + len(names) - 1
        xy = np.zeros((len(self.paths), len(names), 2), dtype=np.float32)
        visible = np.zeros((len(self.paths), len(names)), dtype=bool)
        for line in lines(file, 5):
            part = line.integer(1)
            if not first <= part <= last:
                raise line.error(f"part {part} is outside {first} .. {last}; correct it or add it to parts.txt")
            place = self._place_of(line)
            xy[place, part - first] = line.real(2), line.real(3)
            visible[place, part - first] = line.fields[4] == "1"
        return PartPoints(names, xy, visible)

    def _of_images(self, file: str, fields: int) -> Iterator[tuple[int, Line]]:
        """The lines of a table with exactly one line per image, each with the image's place in `paths`."""
        seen = np.zeros(len(self.paths), dtype=bool)
        for line in lines(self.folder / file, fields):
            place = self._place_of(line)
            if seen[place]:
                raise line.error(f"image {line.fields[0]} is listed twice; remove one of the lines")
            seen[place] = True
            yield place, line
        if not seen.all():
            missing = int(np.flatnonzero(~seen)[0])
            identity = next(identity for identity, place in self._place.items() if place == missing)
            raise DatasetError(
                f"{self.folder / file}: image {identity} ({self.paths[missing]}) has no line here; "
                "add one or remove the image from images.txt"
            )

    def _place_of(self, line: Line) -> int:
        identity = line.fields[0]
        if identity not in self._place:
            raise line.error(f"image {identity} is not in images.txt; remove the line or add the image there")
        return self._place[identity]


class AnnotatedFiles(ImageFiles):
    """A dataset in this layout. Boxes and part points, most of the lines, are read when they are asked for."""

    first_part: ClassVar[int] = 1
    """The smallest id of a part."""

    def __init__(self, folder: Path) -> None:
        self.image_folder = folder / "images"
        self.tables = ImageTables(folder)
        self.paths = self.tables.paths
        self.is_train = self.tables.split()

    @property
    def has_boxes(self) -> bool:
        return (self.tables.folder / BOXES).is_file()

    @cached_property
    def boxes(self) -> NDArray[np.float32] | None:  # type: ignore[override]
        """`(N, 4)` x, y, width, height, clipped to the image where `sizes.txt` states its size; None without a file."""
        boxes, sizes = self.tables.reals(BOXES, 4), self.tables.reals("sizes.txt", 2)
        return boxes if boxes is None or sizes is None else clipped(boxes, sizes)

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        return self.tables.part_names(self.first_part)

    @cached_property
    def parts(self) -> PartPoints | None:  # type: ignore[override]
        """Points of all images; None without a file."""
        return self.tables.parts(self.first_part)


def clipped(boxes: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part within its image of each box `(N, 4)` x, y, width, height; `sizes` `(N, 2)` are widths and heights."""
    starts, ends = (edges.clip(0, sizes) for edges in (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    return np.concatenate([starts, ends - starts], axis=1)
