"""The contract of a dataset: a table of images with labels and the official split, and a method that reads one image.

Store, feed and augmentation are built on it and are the same for all datasets.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets import file_hashes
from datasets.release import Archive, Expected
from results.identity import hash_of_classes
from results.values.names import folded, nearest, shortened
from results.values.text import can_be_path, shown

OnProgress = Callable[[int, int | None], None]
"""Called with what is done and the total, in images or bytes; the total is None where it is unknown."""


class DatasetError(Exception):
    """A dataset can't be used as it is. The message is one line that names the file and says what to do."""


class MissingAnnotation(DatasetError):  # noqa: N818 - clear without the suffix Error
    """A file with annotations is not there; `open_dataset` adds the archive that it comes in."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} is missing; restore it from the dataset's archive")
        self.file = file


def require_utf8(owner: object, names: Iterable[str]) -> None:
    """Raises `DatasetError` beginning with `owner` for a name of a file or class that is not UTF-8.

    Python reads such a name with halves of surrogate pairs, which can't be written.
    """
    for name in names:
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DatasetError(f"{owner}: the name {name!r} is not UTF-8, which records and tables are; rename it")


@dataclass(frozen=True)
class PartPoints:
    """Annotated part points of every image, in pixels of the original image."""

    names: tuple[str, ...]
    xy: NDArray[np.float32]
    """(N, P, 2): x to the right, y down."""
    visible: NDArray[np.bool_]
    """(N, P)"""


class Dataset(ABC):
    """Images, labels and official split; boxes and part points where they exist.

    A reader is a file in `readers/` that defines one subclass. `datasets.open_dataset(name, root, options)` finds it
    there and calls the constructor `(folder, **options)`; a reader that needs no files gets `folder=None`.
    """

    title: str
    """One line: what the dataset is."""
    known_as: ClassVar[str] = ""
    """Its name as papers write it, which reports show; empty for people's own folders, which go by their names."""
    terms: str = "not stated"
    """Terms of use, in words."""
    folder: ClassVar[str | None] = None
    """Name of its folder below the data root, if fixed."""
    marker: ClassVar[str] = ""
    """A path in that folder by which `has_layout` knows it."""
    layout: ClassVar[str] = ""
    """In words, the files by which a folder of any name is read too; empty if only its own folder is."""
    archives: ClassVar[tuple[Archive, ...]] = ()
    """What `data fetch` downloads and unpacks; empty for drawn images and people's own folders."""
    by_hand: ClassVar[str] = ""
    """One line: how to get the files that can't be downloaded, e.g. by filling in a form."""
    page: ClassVar[str] = ""
    """Address of the page from which these files, or the form for them, can be got."""
    part_of: ClassVar[type[Dataset] | None] = None
    """The published dataset from whose folder it is read, if it has no files of its own."""
    subsets: ClassVar[tuple[dict[str, Any], ...]] = ()
    """The options of each subset, if the dataset is trained and scored by subset and its accuracy is their mean."""
    expected: Expected | None = None
    """What the official release holds: under default options for the class, under its own for an opened dataset."""

    name: str
    """The name it was opened with; set by `open_dataset`."""
    classes: tuple[str, ...]
    """Class names; the label is the position."""
    paths: tuple[str, ...]
    """One per image: relative, with forward slashes, unique, in the dataset's own order."""
    labels: NDArray[np.int64]
    """(N,) in 0 .. K-1"""
    is_train: NDArray[np.bool_]
    """(N,) the official split: True for train, False for test."""
    boxes: NDArray[np.float32] | None = None
    """(N, 4) x, y, width, height in pixels of the original image."""
    parts: PartPoints | None = None
    remarks: tuple[str, ...] = ()
    """What was put right or left out while reading, a sentence each; `data verify` shows them."""

    @classmethod
    def release(cls, options: Mapping[str, Any]) -> Expected | None:
        """What the official release holds under these options; None if that is not known. A reader whose options
        change the counts overrides it."""
        return cls.expected

    @classmethod
    def goes_by(cls, name: str) -> bool:
        """Whether `name` is that of the dataset or of its folder, whatever its case and punctuation."""
        own = (cls.folder or "", cls.__module__.rpartition(".")[2])
        return cls.folder is not None and folded(name) in map(folded, own)

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        """Whether `folder` has this reader's layout, judged by names of files alone."""
        return bool(cls.marker) and (folder / cls.marker).exists()

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether this reader reads `folder`, judged by names alone."""
        return (bool(cls.layout) or cls.goes_by(folder.name)) and cls.has_layout(folder)

    @classmethod
    def mistaken(cls, folder: Path) -> str | None:
        """What `folder` is, if people take it for this dataset and it is another; and what to do."""
        return None

    @abstractmethod
    def image(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as RGB `(H, W, 3)`. Raises `DatasetError` naming the file if it can't be decoded."""

    def file(self, index: int) -> Path | None:
        """Path of image `index`, whether the file exists or not; None if images aren't files.

        Readers leave it to `open_dataset` to report missing files, so that `verify` can name them all.
        """
        return None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def has_boxes(self) -> bool:
        """Whether there are boxes, without reading them."""
        return self.boxes is not None

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the annotated parts; a reader that computes the points gives the names without them."""
        return self.parts.names if self.parts else ()

    @cached_property
    def split_hash(self) -> str:
        """SHA-256 over the sorted lines `path <tab> label <tab> split`: identifies the split table."""
        lines = sorted(
            f"{path}\t{label}\t{'train' if train else 'test'}"
            for path, label, train in zip(self.paths, self.labels.tolist(), self.is_train.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def images_sha256(self) -> str | None:
        """SHA-256 of the images' files as they were when it was first asked for: `hash_content` of their paths and
        bytes. None if images aren't files. Raises `DatasetError` for a file that can't be read."""
        hashes = self.hash_files()
        return file_hashes.hash_content(hashes) if hashes else None

    @property
    def classes_sha256(self) -> str | None:
        """SHA-256 of the class names in the order of their labels; None if images aren't files: drawn classes follow
        from the settings."""
        return None if self.file(0) is None else hash_of_classes(self.classes)

    def hash_files(self) -> dict[str, str]:
        """Path -> SHA-256 of each image file as it is now; empty if images aren't files. Only what has changed since
        the last look is read. Raises `DatasetError` for a file that can't be read."""
        files = {path: file for row, path in enumerate(self.paths) if (file := self.file(row)) is not None}
        try:
            return file_hashes.hash_files(files)
        except OSError as error:
            raise DatasetError(f"{error.filename}: can't be read ({error.strerror}); restore it") from error

    def require_unchanged(self) -> None:
        """Raises `DatasetError` if an image file is no longer what `images_sha256` was made of."""
        hashes = self.hash_files()
        if hashes and file_hashes.hash_content(hashes) != self.images_sha256:
            raise DatasetError(f"images of {self.name} were replaced while they were read; give the command again")

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of `classes`, and of images in `train` and `test`: the names that `Expected` has."""
        train = int(self.is_train.sum())
        return {"classes": len(self.classes), "train": train, "test": len(self) - train}

    def differing_counts(self) -> dict[str, tuple[int, int]]:
        """Which of `counts` are not the official ones: what was found, and what is official."""
        if self.expected is None:
            return {}
        official = vars(self.expected)
        return {name: (found, official[name]) for name, found in self.counts.items() if found != official[name]}

    def has_another_table(self) -> bool:
        """Whether its table is not the official one, as far as the hash of that is known."""
        return self.expected is not None and self.expected.split_sha256 not in (None, self.split_hash)

    def departure(self) -> str | None:
        """What differs from the official split, in words; None if nothing does, or none is known."""
        words = {"train": "training images", "test": "test images"}
        counts = self.differing_counts().items()
        differing = [f"{found} {words.get(what, what)} in place of {official}" for what, (found, official) in counts]
        if not differing and self.has_another_table():
            differing = ["the counts agree, but paths, labels or splits of images don't"]
        return ", ".join(differing) or None

    def require_split(self, split_name: str | None) -> None:
        """Checks that a Run says which split it uses: the official one without a name, any other by a name.

        Raises `DatasetError` with what differs from the official split and what to do, or if nothing could be measured
        on it: without test images, or with one class.
        """
        if self.is_train.all():
            raise DatasetError(f"{self.name}: its split has no test image, so nothing could be measured; add some")
        if len(self.classes) < 2:
            raise DatasetError(f"{self.name} has one class, so every answer is right; add images of another")
        departure = self.departure()
        if departure and split_name is None:
            raise DatasetError(
                f"{self.name} is not on its official split: {departure}; restore its lists, "
                "or name the split that you mean: --set split_name=NAME"
            )
        if split_name is not None and self.expected is not None and departure is None:
            raise DatasetError(
                f"{self.name} has the official split, which is not called {split_name!r}; leave split_name out"
            )

    @property
    def content_key(self) -> dict[str, Any]:
        """What determines the pixels besides the split table: options of a drawn dataset, the bytes of files."""
        return {}

    def split(self, validation: float, seed: int = 0) -> dict[str, NDArray[np.int64]]:
        """Row numbers of `train`, `validation` and `test`.

        `validation` is the share of each class's official training images to hold out. The choice depends on `seed`
        and the paths, never on a Run's seed: all Runs select on the same images. Every class keeps at least one
        training image.
        """
        if not 0 <= validation < 1:
            raise ValueError(f"validation share must be in [0, 1), not {validation}")
        held_out = np.zeros(len(self), dtype=bool)
        for label in range(len(self.classes)):
            rows = np.flatnonzero(self.is_train & (self.labels == label))
            count = min(round(validation * len(rows)), len(rows) - 1)
            ranked = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}\t{self.paths[row]}".encode()).digest())
            held_out[ranked[: max(count, 0)]] = True
        return {
            "train": np.flatnonzero(self.is_train & ~held_out),
            "validation": np.flatnonzero(held_out),
            "test": np.flatnonzero(~self.is_train),
        }

    def check(self) -> None:
        """Raises `DatasetError` unless lengths agree, paths are unique and stay in the folder, labels are in range, and
        names are UTF-8."""
        count = len(self.paths)
        if not (len(self.labels) == len(self.is_train) == count):
            raise DatasetError(f"{self.name}: {count} images, {len(self.labels)} labels, {len(self.is_train)} splits")
        if len(set(self.paths)) != count:
            raise DatasetError(f"{self.name}: an image path is listed twice in the table")
        outside = (self.labels < 0) | (self.labels >= len(self.classes))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise DatasetError(
                f"{self.name}: {self.paths[row]} has label {self.labels[row]}, outside 0 .. {len(self.classes) - 1}"
            )
        require_utf8(self.name, (*self.classes, *self.paths))
        for path in self.paths:  # a table that was fetched may name any file of this machine
            if path.startswith("/") or ".." in path.split("/"):
                raise DatasetError(f"{self.name}: the path {path!r} leads out of the folder; correct the table")
            if not can_be_path(path):
                raise DatasetError(f"{self.name}: no file can be called {shown(path)}; correct the table")

    def classes_without(self, *, train: bool) -> list[int]:
        """The labels that no training image has, or no test image."""
        counts = np.bincount(self.labels[self.is_train == train], minlength=len(self.classes))
        return np.flatnonzero(counts == 0).tolist()

    def check_classes(self) -> None:
        """Raises `DatasetError` unless there is a training image of every class."""
        untrained = [self.classes[label] for label in self.classes_without(train=True)]
        if not untrained:
            return
        others = f" ({len(untrained)} classes have none: {shortened(untrained)})" if len(untrained) > 1 else ""
        trained = [name for name in self.classes if name not in untrained]
        raise DatasetError(
            f"{self.name}: class {untrained[0]!r} has no training image{others}; "
            f"{nearest(untrained[0], trained) or 'add some, or remove the class from the test images'}"
        )
