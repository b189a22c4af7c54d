"""Checks that a Run is carried out on what it was planned with: images, class names, split and weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.errors import UserError
from datasets import file_hashes
from datasets.interface import Dataset
from results.identity import short
from results.settings import Run

REMEDY = "restore what it was planned with, or train again: the same command plans with what is there now"


def check_dataset(run: Run, dataset: Dataset) -> None:
    """Compares the dataset as it is on disk now with the Run. Raises `UserError` that says what differs.

    A Run from before images and class names were checked is compared by its split alone.
    """
    if run.split_sha256 != dataset.split_hash:
        raise _changed(run, "split", run.split_sha256, dataset.split_hash)
    if run.classes_sha256 not in (None, dataset.classes_sha256):
        raise _changed(run, "class names", run.classes_sha256, dataset.classes_sha256)
    if run.images_sha256 is None:
        return
    hashes = dataset.hash_files()
    if (now := file_hashes.hash_content(hashes)) != run.images_sha256:
        differing = file_hashes.difference(run.images_sha256, hashes)
        which = f"{len(differing)} of {len(hashes)} differ, first {differing[0]}; " if differing else ""
        raise _changed(run, "images", run.images_sha256, now, which)


def check_weights(run: Run, loaded: Iterable[Mapping[str, Any]]) -> None:
    """Compares the weight files that were loaded, as a record has them, with the Run's. Raises `UserError`."""
    planned = run.second_weights | {run.backbone: run.weights_sha256}
    for file in loaded:
        if (then := planned.get(file["backbone"])) not in (None, file["sha256"]):
            raise UserError(
                f"the weights in {file['file']} changed since this Run was planned (SHA-256 "
                f"{short(then)} then, {short(file['sha256'])} now); {REMEDY}"
            )


def _changed(run: Run, what: str, then: str | None, now: str | None, which: str = "") -> UserError:
    return UserError(
        f"the {what} of {run.task} changed since this Run was planned ({which}SHA-256 {short(then)} then, "
        f"{short(now)} now); {REMEDY}"
    )
