"""Which test images each Run gets wrong, for the page's comparison of two Runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.predictions import Answer
from reports.run_files import RunFiles
from results.record import Record


@dataclass(frozen=True)
class ImageSet:
    """Test images, and the answers of all Runs that predicted exactly these."""

    images: NDArray[np.object_]
    answers: dict[int, Answer] = field(default_factory=dict)
    """By the number of the Run: its place among the records."""

    @property
    def errors(self) -> int:
        """Wrong predictions of all these Runs; each takes about a byte of the page."""
        return sum(int((~answer.right).sum()) for answer in self.answers.values())

    @property
    def data(self) -> dict[str, Any]:
        """`{"images": [name], "wrong": {number: [distance]}}`, ready for JSON.

        A distance is that of a wrongly predicted image's place from the one before, at first from -1: small numbers,
        which compress well.
        """
        wrong = {
            str(number): np.diff(np.flatnonzero(~answer.right), prepend=-1).tolist()
            for number, answer in self.answers.items()
        }
        return {"images": self.images.tolist(), "wrong": wrong}


def image_sets(records: Sequence[Record], files: RunFiles) -> list[ImageSet]:
    """Those of these Runs that have predictions of their last epoch, in the order of their first Run."""
    known: dict[int, ImageSet] = {}
    for number, record in enumerate(records):
        if answer := files.predictions.of_run(record.id):
            known.setdefault(id(answer.images), ImageSet(answer.images)).answers[number] = answer
    return list(known.values())
