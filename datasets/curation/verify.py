"""Checks a dataset on disk, offline: its table, every image, and the images against each other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets.curation.copies import copies
from datasets.curation.findings import Finding, Findings
from datasets.curation.images import Inspection, inspect
from datasets.curation.tables import table_faults
from datasets.formats.image_files import IMAGE_SUFFIXES, ImageFiles
from datasets.interface import Dataset, DatasetError, OnProgress
from datasets.narrowed import Narrowed


def verify(dataset: Dataset, on_progress: OnProgress) -> Findings:
    """Reads every image and goes on after each fault. `dataset` may have been opened with files missing."""
    faults, there = [], set()
    for annotation in ("boxes", "parts"):
        try:
            there |= {annotation} if getattr(dataset, annotation) is not None else set()
        except DatasetError as error:  # some readers read them only when they are asked for
            faults.append(Finding(annotation, str(error)))
    inspected = _inspect_all(dataset, "boxes" in there, on_progress)
    faults += [fault for one in inspected for fault in one.faults]
    if dataset.expected:  # people's own folders may contain images that are not used; a release does not
        faults += _extra_images(dataset)
    leaks, repeated = copies(dataset, [one.digest for one in inspected])
    return findings(dataset, [*faults, *leaks], repeated)


def findings(dataset: Dataset, faults: Sequence[Finding] = (), notes: Sequence[Finding] = ()) -> Findings:
    """What the table alone shows, together with the `faults` and `notes` of images."""
    files = dataset
    while isinstance(files, Narrowed):
        files = files.whole
    reference = dataset.expected.split_sha256 if dataset.expected else None
    compared = "as published" if reference == dataset.split_hash else "differs"
    return Findings(
        name=dataset.name,
        images=len(dataset),
        **dataset.counts,
        split_sha256=dataset.split_hash,
        reference="no reference known" if reference is None else compared,
        faults=(*table_faults(dataset), *faults),
        notes=(*(Finding("reading", remark) for remark in dataset.remarks), *notes),
        folder=str(files.image_folder) if isinstance(files, ImageFiles) else None,
    )


def _inspect_all(dataset: Dataset, boxed: bool, on_progress: OnProgress) -> list[Inspection]:
    """In the order of the table. Decoders release the interpreter lock, so threads are enough."""
    import joblib  # only here: it is slow to import

    found = []
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for one in pool.map(lambda row: inspect(dataset, row, boxed), range(len(dataset))):
            found.append(one)
            on_progress(len(found), len(dataset))
    return found


def _extra_images(dataset: Dataset) -> list[Finding]:
    """Image files in the folders of the table that the table doesn't name; hidden files are ignored."""
    named = {file for row in range(len(dataset)) if (file := dataset.file(row)) is not None}
    return [
        Finding("extra", f"{file} is in no line of the table")
        for folder in sorted({file.parent for file in named})
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file not in named
    ]
