"""Whether a dataset on disk is what it should be: every image there and readable, counts and split as published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from datasets.cores import usable_cores
from datasets.interface import Dataset, DatasetError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    kind: str
    """missing, empty, damaged, extra, count or split."""
    what: str
    """In words, with the file's name."""


@dataclass(frozen=True)
class Findings:
    """What `verify` found. `as_row` is one row for a terminal or a program."""

    name: str
    images: int
    classes: int
    train: int
    test: int
    split_sha256: str
    reference: str
    """Whether that is the published split: `as published`, `differs` or `no reference known`."""
    faults: tuple[Fault, ...]

    @property
    def as_row(self) -> dict[str, Any]:
        """With one dictionary for each fault."""
        return asdict(self)


def verify(dataset: Dataset, progress: Progress) -> Findings:
    """Reads every image, offline. `dataset` may be one that was opened although files are missing."""
    faults = _image_faults(dataset, progress)
    if (
        dataset.expected
    ):  # people's own folders may hold images that take no part; a release has nothing besides its own
        faults += _extra_images(dataset)
    return findings(dataset, faults)


def findings(dataset: Dataset, image_faults: Sequence[Fault] = ()) -> Findings:
    """Counts and split against the published ones, and what was found of the images."""
    train = int(dataset.is_train.sum())
    reference = dataset.expected.split_sha256 if dataset.expected else None
    compared = "as published" if reference == dataset.split_hash else "differs"
    return Findings(
        name=dataset.name,
        images=len(dataset),
        classes=len(dataset.classes),
        train=train,
        test=len(dataset) - train,
        split_sha256=dataset.split_hash,
        reference="no reference known" if reference is None else compared,
        faults=(*_table_faults(dataset), *image_faults),
    )


def _table_faults(dataset: Dataset) -> list[Fault]:
    """Where counts or split hash are not those that were published."""
    expected = dataset.expected
    if expected is None:
        return []
    train = int(dataset.is_train.sum())
    found = {"classes": len(dataset.classes), "train": train, "test": len(dataset) - train}
    faults = [
        Fault("count", f"{what}: {count}, {getattr(expected, what)} were expected")
        for what, count in found.items()
        if count != getattr(expected, what)
    ]
    if expected.split_sha256 not in (None, dataset.split_hash):
        faults.append(Fault("split", f"split: SHA-256 {dataset.split_hash}, {expected.split_sha256} was expected"))
    return faults


def _image_faults(dataset: Dataset, progress: Progress) -> list[Fault]:
    """In the order of the table. Decoders work outside Python's lock, so that threads are enough."""
    faults = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, fault in enumerate(pool.map(lambda row: _image_fault(dataset, row), range(len(dataset))), start=1):
            if fault is not None:
                faults.append(fault)
            progress(done, len(dataset))
    return faults


def _image_fault(dataset: Dataset, row: int) -> Fault | None:
    if (file := dataset.file(row)) is not None:
        if not file.is_file():
            return Fault("missing", f"{file} is missing")
        if file.stat().st_size == 0:
            return Fault("empty", f"{file} is empty")
    try:
        dataset.image(row)
    except DatasetError as error:
        return Fault("damaged", str(error))
    return None


def _extra_images(dataset: Dataset) -> list[Fault]:
    """Image files beside those of the table that the table does not name; hidden files are passed over."""
    named = {file for row in range(len(dataset)) if (file := dataset.file(row)) is not None}
    return [
        Fault("extra", f"{file} is in no line of the table")
        for folder in sorted({file.parent for file in named})
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file not in named
    ]
