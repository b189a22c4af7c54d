"""The contract of a dataset: a table of images with labels and the official split, and a way to read one image.

Everything else (storage, feed, augmentation) is built on this and is the same for all datasets.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets.release import Archive, Expected

if TYPE_CHECKING:
    import pandas as pd


class DatasetError(Exception):
    """A dataset can't be used as it is. The message is one line that names the file and says what to do."""


@dataclass(frozen=True)
class PartPoints:
    """Annotated part points of every image, in pixels of the original image."""

    names: tuple[str, ...]
    xy: NDArray[np.float32]
    """(N, P, 2): x to the right, y down."""
    visible: NDArray[np.bool_]
    """(N, P)"""


class Dataset(ABC):
    """Images, labels, official split; boxes and part points where they exist.

    A reader is one file in this folder that defines one subclass; it is found by being there. It is opened with
    `open_dataset(name, root, options)` from `datasets`, which calls the constructor `(folder, **options)`; a reader
    that needs no files is given `folder=None`.
    """

    title: str
    """One line: what it is."""
    terms: str = "not stated"
    """Terms of use, in words."""
    folder: ClassVar[str | None] = None
    """Name of its folder below the data root, where it has a fixed one."""
    archives: ClassVar[tuple[Archive, ...]] = ()
    """What `data fetch` gets and unpacks; empty for drawn images and for people's own folders."""
    by_hand: ClassVar[str] = ""
    """One line: what to do where nothing can be fetched, or where a site wants a form filled in."""
    subsets: ClassVar[tuple[dict[str, Any], ...]] = ()
    """Options of each subset, for a dataset that is trained and scored subset by subset and whose accuracy is their
    mean; empty for all others."""
    expected: Expected | None = None
    """What the official release holds: of the class, under its default options; of an opened dataset, under its own."""

    name: str
    """The name it was opened with."""
    classes: tuple[str, ...]
    """Class names; the label is the position."""
    paths: tuple[str, ...]
    """One per image: relative, with forward slashes, unique. Order is the dataset's own."""
    labels: NDArray[np.int64]
    """(N,) in 0 .. K-1"""
    is_train: NDArray[np.bool_]
    """(N,) the official split: True is train, False is test."""
    image_folder: Path | None = None
    """What `paths` are relative to; None where images aren't files, or `file` says otherwise."""
    boxes: NDArray[np.float32] | None = None
    """(N, 4) x, y, width, height in pixels of the original image."""
    parts: PartPoints | None = None
    ancestors: tuple[tuple[str, ...], ...] | None = None
    """Per class: names of the coarser classes it belongs to, the nearest first; None where there is no hierarchy."""

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether `folder` has this reader's layout (a look at names, no file is read)."""
        return False

    @abstractmethod
    def image(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as RGB `(H, W, 3)`. Raises `DatasetError` naming the file if it can't be decoded."""

    def file(self, index: int) -> Path | None:
        """Where image `index` lies on disk, be it there or not; None where images aren't files.

        A reader that says so leaves it to `open_dataset` to find missing ones, so that `verify` can name them all.
        """
        return None if self.image_folder is None else self.image_folder / self.paths[index]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def has_boxes(self) -> bool:
        """Whether there are boxes; a reader that opens many files for them says so without opening any."""
        return self.boxes is not None

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the annotated parts; a reader that computes the points gives the names without them."""
        return self.parts.names if self.parts else ()

    @cached_property
    def split_hash(self) -> str:
        """SHA-256 over the sorted lines `path <tab> label <tab> split`: equal exactly if the split table is equal."""
        lines = sorted(
            f"{path}\t{label}\t{'train' if train else 'test'}"
            for path, label, train in zip(self.paths, self.labels.tolist(), self.is_train.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def content_key(self) -> dict[str, Any]:
        """What, besides the split table, decides the pixels: options of a drawn dataset, sizes and times of files."""
        return {}

    def split(self, validation: float, seed: int = 0) -> dict[str, NDArray[np.int64]]:
        """Row numbers of `train`, `validation` and `test`.

        `validation` is the share of each class's official training images held out; the choice depends only on
        `seed` and the paths, never on a Run's seed, so that all Runs select on the same images. Every class keeps
        at least one training image.
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

    def table(self) -> pd.DataFrame:
        """One row per image: path, label, class, split."""
        import pandas as pd  # takes as long to load as all the rest that `run_all.py --help` needs

        return pd.DataFrame(
            {
                "path": self.paths,
                "label": self.labels,
                "class": [self.classes[label] for label in self.labels],
                "split": np.where(self.is_train, "train", "test"),
            }
        )

    def check(self) -> None:
        """Raises `DatasetError` unless the table is sound.

        That is: lengths agree, paths are unique, labels in range, no class is without a training image.
        """
        count = len(self.paths)
        if not (len(self.labels) == len(self.is_train) == count):
            raise DatasetError(f"{self.name}: {count} images, {len(self.labels)} labels, {len(self.is_train)} splits")
        if len(set(self.paths)) != count:
            raise DatasetError(f"{self.name}: an image path stands twice in the table")
        outside = (self.labels < 0) | (self.labels >= len(self.classes))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise DatasetError(
                f"{self.name}: {self.paths[row]} has label {self.labels[row]}, outside 0 .. {len(self.classes) - 1}"
            )
        empty = np.flatnonzero(np.bincount(self.labels[self.is_train], minlength=len(self.classes)) == 0)
        if len(empty):
            raise DatasetError(f"{self.name}: class {self.classes[empty[0]]!r} has no training image")
