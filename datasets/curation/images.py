"""What is wrong with one image: its file, its shape, its contrast, its box."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.boxes import box_fault
from datasets.curation.findings import Finding
from datasets.formats.aspect import thin
from datasets.formats.image_files import missing
from datasets.interface import Dataset, DatasetError

LEVELS = 16
"""Nearly constant: nearly all values of a channel lie within so many of 256 levels. So do 12-bit values that were saved
as 16-bit ones; of 2 400 photos of birds and flowers, the flattest has 50."""
SAMPLED = 64
"""Rows and columns, about, whose pixels are looked at for the contrast."""


@dataclass(frozen=True)
class Inspection:
    """What was found in one image."""

    faults: tuple[Finding, ...] = ()
    digest: bytes | None = None
    """SHA-256 of shape and pixels; None if they can't be read."""


def inspect(dataset: Dataset, row: int, boxed: bool) -> Inspection:
    """Reads image `row` and, if `boxed`, compares its box with its size."""
    file = dataset.file(row)
    name = dataset.paths[row] if file is None else str(file)
    with suppress(PermissionError):  # the attempt to read it says so
        if file is not None and not file.is_file():
            return Inspection((Finding("missing", missing(file)),))
        if file is not None and file.stat().st_size == 0:
            return Inspection((Finding("empty", f"{name} is empty"),))
    try:
        pixels = dataset.image(row)
    except DatasetError as error:
        return Inspection((Finding("damaged", str(error)),))
    faults = []
    if fault := thin(*pixels.shape[:2]):
        faults.append(Finding("thin", f"{name} {fault}"))
    if is_nearly_constant(pixels):
        faults.append(Finding("constant", f"{name} has hardly any contrast"))
    if boxed and dataset.boxes is not None and (found := box_fault(dataset.boxes[row].tolist(), *pixels.shape[:2])):
        faults.append(Finding(f"box {found.kind}", f"{name}: {found.what}"))
    return Inspection(tuple(faults), pixel_digest(pixels))


def pixel_digest(pixels: NDArray[np.uint8]) -> bytes:
    """Equal for equal pictures, also if their files differ in name, metadata or lossless format."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def is_nearly_constant(pixels: NDArray[np.uint8]) -> bool:
    """Whether 98 % of the values of each channel lie within `LEVELS` levels, in a sample of `(H, W, 3)`."""
    height, width, channels = pixels.shape
    sample = pixels[:: -(-height // SAMPLED), :: -(-width // SAMPLED)].reshape(-1, channels)
    low, high = np.percentile(sample, [1, 99], axis=0)
    return bool((high - low < LEVELS).all())
