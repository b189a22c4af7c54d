"""What every dataset can be narrowed to: some of its classes, and its images cut to their boxes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.boxes import box_fault
from datasets.formats.class_folders import class_name
from datasets.interface import Dataset, DatasetError, PartPoints
from results.values.names import suggest

OPTIONS = ("classes", "crop")
"""Options of every dataset, unless its reader has one of the same name."""


def sorted_classes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with a list of classes sorted: in another order it is the same dataset, and has to have one name."""
    classes = options.get("classes")
    return {**options, "classes": sorted(classes, key=str)} if isinstance(classes, list) else dict(options)


class Narrowed(Dataset):
    """The images of `whole` that have one of `classes`, cut to their boxes if `crop` is "box".

    Paths, split, and the order of images and classes are those of `whole`; labels count the classes that are kept.

    A cut is the smallest rectangle of whole pixels that holds the box, within the image; x and y of a box are the left
    and upper edge of its first pixel, counted from 0. Boxes and part points are those in the cut, and a part outside
    of it is not visible. A cut image is identified by its file and the rectangle.

    Raises `DatasetError` for a class that `whole` hasn't, one that is named twice, another crop than "box", and boxes
    that aren't there.
    """

    def __init__(self, whole: Dataset, *, classes: Sequence[str] | None = None, crop: str | None = None) -> None:
        if crop not in (None, "box"):
            raise DatasetError(f"{whole.name}: the option crop takes box, not {crop!r}")
        if crop and not whole.has_boxes:
            raise DatasetError(f"{whole.name} has no boxes to cut its images to; leave crop out")
        self.whole, self.crop = whole, crop
        kept = np.arange(len(whole.classes)) if classes is None else _labels(whole, classes)
        self._rows = np.flatnonzero(np.isin(whole.labels, kept))
        self.name, self.terms, self.remarks = whole.name, whole.terms, whole.remarks
        of_them = "" if classes is None else f"; {len(kept)} of {len(whole.classes)} classes"
        self.title = f"{whole.title}{of_them}{'; cut to the boxes' if crop else ''}"
        self.expected = whole.expected if classes is None else None
        self.classes = tuple(whole.classes[label] for label in kept)
        self.paths = tuple(whole.paths[row] for row in self._rows)
        self.labels = np.searchsorted(kept, whole.labels[self._rows])
        self.is_train = whole.is_train[self._rows]

    def departure(self) -> str | None:
        """As for any dataset; where classes are left out, what differs from the official split of the whole."""
        return super().departure() if self.expected else self.whole.departure()

    def file(self, index: int) -> Path | None:
        return self.whole.file(int(self._rows[index]))

    def image(self, index: int) -> NDArray[np.uint8]:
        pixels = self.whole.image(int(self._rows[index]))
        if not self.crop:
            return pixels
        fault = box_fault(self._original_boxes[index].tolist(), *pixels.shape[:2])
        if fault and fault.kind != "beyond":
            raise self._unusable(index, fault.what)
        left, top, right, bottom = self._cuts[index].tolist()
        return np.ascontiguousarray(pixels[top:bottom, left:right])

    @property
    def has_boxes(self) -> bool:
        return self.whole.has_boxes

    @property
    def part_names(self) -> tuple[str, ...]:
        return self.whole.part_names

    @cached_property
    def boxes(self) -> NDArray[np.float32] | None:  # type: ignore[override]
        """`(N, 4)` x, y, width, height; of a cut image all of it, and beyond it where the box ends beyond the image."""
        if not self.crop:
            return None if self.whole.boxes is None else self.whole.boxes[self._rows]
        return np.concatenate([np.zeros_like(self._cut_sizes), self._cut_sizes], axis=1).astype(np.float32)

    @cached_property
    def parts(self) -> PartPoints | None:  # type: ignore[override]
        """Points of all images; None if `whole` has none."""
        if self.whole.parts is None:
            return None
        xy, visible = self.whole.parts.xy[self._rows], self.whole.parts.visible[self._rows]
        if self.crop:
            xy = xy - self._cuts[:, None, :2].astype(np.float32)
            visible = visible & ((xy >= 0) & (xy < self._cut_sizes[:, None])).all(axis=2)
        return PartPoints(self.whole.parts.names, xy, visible)

    @property
    def content_key(self) -> dict[str, Any]:
        if (files := self.images_sha256) is not None:
            return {"files": files}
        return {**self.whole.content_key, **({"crop": self.crop} if self.crop else {})}

    def hash_files(self) -> dict[str, str]:
        """As for any dataset; of a cut image the SHA-256 of its file's and of the rectangle."""
        hashes = super().hash_files()
        if not hashes or not self.crop:
            return hashes
        cuts = (",".join(map(str, cut)) for cut in self._cuts.tolist())
        return {
            path: hashlib.sha256(f"{hashes[path]}\t{cut}".encode()).hexdigest()
            for path, cut in zip(self.paths, cuts, strict=True)
        }

    @cached_property
    def _original_boxes(self) -> NDArray[np.float32]:
        """`(N, 4)` in the original images. Raises `DatasetError` for one that is none, whatever the image's size."""
        assert self.whole.boxes is not None
        boxes = self.whole.boxes[self._rows]
        for index, box in enumerate(boxes.tolist()):
            if (fault := box_fault(box)) and fault.kind != "beyond":
                raise self._unusable(index, fault.what)
        return boxes

    @cached_property
    def _cuts(self) -> NDArray[np.int64]:
        """`(N, 4)` left, top, right, bottom in pixels of the original image; the last two may lie beyond it."""
        starts, sizes = self._original_boxes[:, :2].astype(np.float64), self._original_boxes[:, 2:]
        edges = np.concatenate([np.floor(starts), np.ceil(starts + sizes)], axis=1)
        return edges.clip(0, np.iinfo(np.int32).max).astype(np.int64)

    @property
    def _cut_sizes(self) -> NDArray[np.int64]:
        """`(N, 2)` width, height"""
        return self._cuts[:, 2:] - self._cuts[:, :2]

    def _unusable(self, index: int, what: str) -> DatasetError:
        name = self.file(index) or self.paths[index]
        return DatasetError(f"{name}: {what}, so it can't be cut; correct it: data verify {self.whole.name} names each")


def _labels(whole: Dataset, classes: Sequence[str]) -> NDArray[np.int64]:
    """The labels of the classes, ascending."""
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise DatasetError(f"{whole.name}: the option classes takes a list of class names, not {classes!r}")
    label_of = {class_name(name): label for label, name in enumerate(whole.classes)}
    asked = Counter(class_name(str(name)) for name in classes)
    for name, times in asked.items():
        if name not in label_of:
            raise DatasetError(f"{whole.name} has no class {name!r}; {suggest(name, whole.classes)}")
        if times > 1:
            raise DatasetError(f"{whole.name}: the option classes names {name!r} twice; remove one of them")
    return np.array(sorted(label_of[name] for name in asked), dtype=np.int64)
