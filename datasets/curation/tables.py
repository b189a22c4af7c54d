"""What is wrong with a dataset's table, without a look at the images."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from datasets.curation.findings import Finding
from datasets.interface import Dataset


def table_faults(dataset: Dataset) -> list[Finding]:
    """Counts and split that differ from the published ones, classes on one side only, names that look alike."""
    faults = [
        Finding("count", f"{what}: {found}, {official} were expected")
        for what, (found, official) in dataset.differing_counts().items()
    ]
    if dataset.expected and dataset.has_another_table():
        official = dataset.expected.split_sha256
        faults.append(Finding("split", f"split: SHA-256 {dataset.split_hash}, {official} was expected"))
    for train, side in ((True, "training"), (False, "test")):
        for label in dataset.classes_without(train=train):
            faults.append(Finding(f"no {side} image", f"class {dataset.classes[label]!r} has no {side} image"))
    return faults + [
        Finding("class names", f"{' and '.join(map(ascii, names))} differ by spaces, case or Unicode form only")
        for names in alike(dataset.classes)
    ]


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only by spaces, case or Unicode form."""
    found = defaultdict(list)
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        found["".join(letter for letter in folded if letter.isprintable() and not letter.isspace())].append(name)
    return [group for group in found.values() if len(group) > 1]
