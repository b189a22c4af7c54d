"""The same picture more than once: on both sides of the split it is a leak, on one side it is worth a note."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from datasets.curation.findings import Finding
from datasets.interface import Dataset


def copies(dataset: Dataset, digests: Sequence[bytes | None]) -> tuple[list[Finding], list[Finding]]:
    """Leaks, and copies within one side; `digests` are those of `pixel_digest`, None where there is none.

    A leak is counted for each test image that is also a training image.
    """
    leaks, repeated = [], []
    for rows in groups(digests):
        train = [row for row in rows if dataset.is_train[row]]
        test = [row for row in rows if not dataset.is_train[row]]
        if train:
            leaks += [_copy(dataset, row, train[0]) for row in test]
        for side, where in ((train, "train"), (test, "test")):
            repeated += [_copy(dataset, row, side[0], f", both in {where}") for row in side[1:]]
    return leaks, repeated


def groups(digests: Iterable[bytes | None]) -> list[list[int]]:
    """The places of each digest that occurs more than once."""
    places = defaultdict(list)
    for place, digest in enumerate(digests):
        if digest is not None:
            places[digest].append(place)
    return [found for found in places.values() if len(found) > 1]


def _copy(dataset: Dataset, row: int, other: int, where: str = "") -> Finding:
    """Of a test image whose picture is in train, and of a copy (with `where`) on the same side."""
    labels = [dataset.classes[dataset.labels[place]] for place in (row, other)]
    under = f", as {labels[0]!r} and {labels[1]!r}" if labels[0] != labels[1] else ""
    files = dataset.file(row), dataset.file(other)
    linked = files[0] is not None and files[1] is not None and files[0].samefile(files[1])
    kind = "copy" if where else "leak"
    same = "the same file as" if linked else "the same picture as"
    return Finding(kind, f"{dataset.paths[row]} is {same} {dataset.paths[other]}{where}{under}")
