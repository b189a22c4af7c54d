"""Checks a dataset on disk: every image exists and can be decoded, counts and split are as published."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from datasets.formats.image_files import IMAGE_SUFFIXES
from datasets.interface import Dataset, DatasetError, OnProgress


@dataclass(frozen=True)
class Fault:
    """One fault of a dataset."""

    kind: str
    """missing, empty, damaged, extra, count or split."""
    what: str
    """A sentence that names the file."""


@dataclass(frozen=True)
class Findings:
    """The result of `verify`."""

    name: str
    images: int
    classes: int
    train: int
    test: int
    split_sha256: str
    reference: str
    """Comparison with the published split: `as published`, `differs` or `no reference known`."""
    faults: tuple[Fault, ...]

    @property
    def as_row(self) -> dict[str, Any]:
        """One row for a terminal or a program, with a dictionary for each fault."""
        return asdict(self)


def verify(dataset: Dataset, on_progress: OnProgress) -> Findings:
    """Reads every image, offline. `dataset` may have been opened with files missing."""
    faults = _image_faults(dataset, on_progress)
    if dataset.expected:  # people's own folders may contain images that are not used; a release does not
        faults += _extra_images(dataset)
    return findings(dataset, faults)


def findings(dataset: Dataset, image_faults: Sequence[Fault] = ()) -> Findings:
    """Counts and split compared with the published ones, together with the faults of images."""
    reference = dataset.expected.split_sha256 if dataset.expected else None
    compared = "as published" if reference == dataset.split_hash else "differs"
    return Findings(
        name=dataset.name,
        images=len(dataset),
        **dataset.counts,
        split_sha256=dataset.split_hash,
        reference="no reference known" if reference is None else compared,
        faults=(*_table_faults(dataset), *image_faults),
    )


def _table_faults(dataset: Dataset) -> list[Fault]:
    """Counts or split hash that differ from the published ones."""
    faults = [
        Fault("count", f"{what}: {found}, {official} were expected")
        for what, (found, official) in dataset.differing_counts().items()
    ]
    if dataset.expected and dataset.has_another_table():
        official = dataset.expected.split_sha256
        faults.append(Fault("split", f"split: SHA-256 {dataset.split_hash}, {official} was expected"))
    return faults


def _image_faults(dataset: Dataset, on_progress: OnProgress) -> list[Fault]:
    """In the order of the table. Decoders release the interpreter lock, so threads are enough."""
    import joblib  # only here: it is slow to import

    faults = []
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for done, fault in enumerate(pool.map(lambda row: _image_fault(dataset, row), range(len(dataset))), start=1):
            if fault is not None:
                faults.append(fault)
            on_progress(done, len(dataset))
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
    """Image files in the folders of the table that the table doesn't name; hidden files are ignored."""
    named = {file for row in range(len(dataset)) if (file := dataset.file(row)) is not None}
    return [
        Fault("extra", f"{file} is in no line of the table")
        for folder in sorted({file.parent for file in named})
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file not in named
    ]
