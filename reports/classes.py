"""Names of classes, and which of them are taken for each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def confused(labels: NDArray[np.integer], guesses: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of a label and another predicted class that occur, `(P, 2)`, and how often each does, `(P,)`."""
    wrong = labels != guesses
    return np.unique(np.stack([labels[wrong], guesses[wrong]], axis=1), axis=0, return_counts=True)


def class_name(class_names: Sequence[str], label: int) -> str:
    """The name of a class, or its number if it has none."""
    return class_names[label] if label < len(class_names) else f"class {label}"
