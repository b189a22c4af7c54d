"""What ties a Run to the content of its images and to its class names, and which stored record answers a planned Run.

Runs that were planned before these were checked have None for both. Their records answer a Run of today whose other
settings are equal, and are marked: what was not checked then can't be checked now, but for the class names that a
record holds.

A Run that is planned before its data or weights are here has no hashes of them; it is compared by its other settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

from results.record import Record
from results.settings import AnyRun, Run

CHECKED = ("images_sha256", "classes_sha256")
"""The settings that a Run on files has, and one from before the check has not."""
DRAWN = frozenset({"synthetic"})
"""Datasets without files: their settings say all about their images, and their classes follow from these."""
UNCHECKED = "unchecked"
"""In place of a hash, where none was taken."""
PREDATES = "predates the check of images and class names"

AWAITED = ""
"""In place of the hash of a weight file that is not here yet (`WeightFile.awaited`)."""

Find = Callable[[AnyRun], Record | None]
"""The record of exactly this Run; None if there is none."""


def hash_of_classes(names: Sequence[str]) -> str:
    """SHA-256 of the class names in the order of their labels."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()


def contents(run: Run) -> dict[str, str]:
    """The beginnings of the hashes of the Run's images and class names, for people."""
    return {"images": short(run.images_sha256), "classes": short(run.classes_sha256)}


def short(sha256: str | None) -> str:
    """The beginning of a hash, or `UNCHECKED`."""
    return UNCHECKED if sha256 is None else sha256[:10]


def predates_check(run: AnyRun) -> bool:
    """Whether the Run is a training on files that was planned before their content was part of it."""
    return isinstance(run, Run) and run.dataset not in DRAWN and run.images_sha256 is None


def answer(run: AnyRun, find: Find) -> Record | None:
    """The finished record of a Run: its own, or else that of the same Run from before the check.

    A record that names other classes than the Run's, or other weights of a second network, is no answer.
    """
    if (own := _finished(find(run))) is not None or not isinstance(run, Run):
        return own
    before = run.model_copy(update=dict.fromkeys(CHECKED) | {"second_weights": {}})
    older = _finished(find(before)) if before != run else None
    fits = older is not None and _names_the_classes(older, run) and _took_the_weights(older, run)
    return older if fits else None


def awaits(run: AnyRun) -> bool:
    """Whether a Run that is planned today awaits its data or weights: it has no hashes of them."""
    return isinstance(run, Run) and (
        predates_check(run) or AWAITED in (run.weights_sha256, *run.second_weights.values())
    )


def answer_to_awaiting(run: AnyRun, records: Iterable[Record]) -> Record | None:
    """The first finished record whose settings are those of a Run that `awaits`, as far as these are known."""
    if not isinstance(run, Run):
        return None
    unknown = {"second_weights"}
    unknown |= {"split_sha256", *CHECKED} if predates_check(run) else set()
    unknown |= {"weights_sha256"} if run.weights_sha256 == AWAITED else set()
    # A comparison ends at the first difference; equal copies without these settings would take far longer.
    known = [(name, getattr(run, name)) for name in Run.model_fields if name not in unknown]
    fitting = (
        record
        for record in records
        if isinstance(record.run, Run) and all(getattr(record.run, name) == value for name, value in known)
    )
    return next((record for record in fitting if _finished(record) and _took_the_weights(record, run)), None)


def _finished(record: Record | None) -> Record | None:
    return record if record is not None and record.status == "done" else None


def _names_the_classes(record: Record, run: Run) -> bool:
    """Whether the class names in the record, if it has any, are the Run's."""
    names = record.split.get("class_names")
    if names is None or run.classes_sha256 is None:
        return True
    return isinstance(names, list) and hash_of_classes(names) == run.classes_sha256


def _took_the_weights(record: Record, run: Run) -> bool:
    """Whether the weight files of further networks in the record are the Run's."""
    then = {file.get("backbone"): file.get("sha256") for file in record.weights}
    return all(sha256 in (AWAITED, then.get(name, sha256)) for name, sha256 in run.second_weights.items())
