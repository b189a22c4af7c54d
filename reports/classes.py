"""Names of classes, and which of them are taken for each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from results.values.text import cut, in_a_row

LETTERS = 32
"""Most of a label; the longest name of a bird in CUB-200-2011 has 30."""
_NUMBER = re.compile(r"\d+[. ]+(?=\S)")
"""A class's number before its name, `012.`; the hyphen of `737-200` belongs to the name."""


def confused(labels: NDArray[np.integer], guesses: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of a label and another predicted class that occur, `(P, 2)`, and how often each does, `(P,)`."""
    wrong = labels != guesses
    return np.unique(np.stack([labels[wrong], guesses[wrong]], axis=1), axis=0, return_counts=True)


def class_name(class_names: Sequence[str], label: int) -> str:
    """The name of a class, or its number if it has none."""
    return class_names[label] if label < len(class_names) else f"class {label}"


def class_labels(names: Sequence[str], letters: int = LETTERS) -> list[str]:
    """A label for each class of a figure: its name without what only takes up room, no two of them equal.

    `012.Yellow_headed_Blackbird` loses its underscores, and its number where all classes have one. Where some label
    would have more than `letters`, all lose the words with which all begin or end; what is still too long is cut.
    """
    names = [in_a_row(name) for name in names]
    spaced = [" ".join(name.replace("_", " ").split()) for name in names]
    labels = next(filter(_distinct, (_without_numbers(spaced), spaced, names)), names)
    if max(map(len, labels), default=0) > letters and _distinct(shorter := _without_shared_words(labels)):
        labels = shorter
    at_the_end = [label if len(label) <= letters else f"{label[: letters - 1]}…" for label in labels]
    within = [cut(label, letters) for label in labels]
    some = _numbered(labels, letters, [within.count(label) > 1 for label in within])
    every = _numbered(labels, letters, [True] * len(labels))
    return next(filter(_distinct, (at_the_end, within, some)), every)


def _without_numbers(labels: Sequence[str]) -> list[str]:
    """The labels without the number before each, if all have one."""
    return [_NUMBER.sub("", label, count=1) for label in labels] if all(map(_NUMBER.match, labels)) else [*labels]


def _without_shared_words(labels: Sequence[str]) -> list[str]:
    """The labels without the words with which all of them begin or end; each keeps one word at least."""
    words = [label.split() for label in labels]
    room = min(map(len, words)) - 1 if len(words) > 1 else 0
    first = min(_shared(words), room)
    last = min(_shared([one[::-1] for one in words]), room - first)
    return [" ".join(one[first : len(one) - last]) for one in words]


def _shared(several: Sequence[Sequence[str]]) -> int:
    """With how many equal words all begin."""
    return sum(1 for _ in takewhile(lambda words: len({*words}) == 1, zip(*several, strict=False)))


def _numbered(labels: Sequence[str], letters: int, chosen: Sequence[bool]) -> list[str]:
    """The labels cut, and the chosen ones numbered by their place: those that look the same otherwise."""
    ends = [f" ({place})" if one else "" for place, one in enumerate(chosen, 1)]
    return [(cut(label, letters - len(end)) + end).strip() for label, end in zip(labels, ends, strict=True)]


def _distinct(labels: Sequence[str]) -> bool:
    """Whether each can be read and no two look the same."""
    return all(map(str.strip, labels)) and len({unicodedata.normalize("NFC", one) for one in labels}) == len(labels)
