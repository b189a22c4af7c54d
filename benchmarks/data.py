"""What `data verify` and `data prepare` do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from datasets.interface import Dataset, DatasetError
from datasets.storage import open_store

Progress = Callable[[int, int], None]


def verify(dataset: Dataset, progress: Progress) -> tuple[dict[str, Any], list[str]]:
    """Decodes every image. Returns the counts and the split hash, and one line per image that can't be decoded."""
    faults = []
    for index in range(len(dataset)):
        try:
            dataset.image(index)
        except DatasetError as error:
            faults.append(str(error))
        progress(index + 1, len(dataset))
    counts = {
        "images": len(dataset),
        "classes": len(dataset.classes),
        "train": int(dataset.is_train.sum()),
        "test": int((~dataset.is_train).sum()),
        "split_sha256": dataset.split_hash,
    }
    return counts, faults


def prepare(dataset: Dataset, size: int, rule: Literal["squash", "short_side"], progress: Progress) -> dict[str, Any]:
    """Builds the decoded store, or opens it if it is there. Returns where it lies and what it holds."""
    store = open_store(dataset, size, rule, progress=progress)
    return {"folder": str(store.folder), "images": len(store), "bytes": int(store.offsets[-1])}
