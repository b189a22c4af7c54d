"""What the readers of image files share: known suffixes, decoding, and class names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.formats.decode import read_image
from datasets.interface import Dataset, DatasetError

IMAGE_SUFFIXES = frozenset(
    f".{kind}" for kind in ("jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "avif")
)


class ImageFiles(Dataset):
    """A dataset whose images are the files `paths` below `image_folder`."""

    image_folder: Path

    @property
    def content_key(self) -> dict[str, Any]:
        return {"files": self.images_sha256}

    def file(self, index: int) -> Path:
        return self.image_folder / self.paths[index]

    def image(self, index: int) -> NDArray[np.uint8]:
        return read_image(self.file(index))


def missing(file: Path) -> str:
    """A sentence on an image file that isn't there, with the Unicode form in which it is, if that is the reason."""
    for form in ("NFC", "NFD"):
        if (other := Path(unicodedata.normalize(form, str(file)))) != file and other.is_file():
            return f"{file} is missing; on disk the name has the Unicode form {form}, write it so in the table"
    return f"{file} is missing"


def numbered_classes(images: Iterable[tuple[int, str]], source: Path) -> tuple[str, ...]:
    """Class names by number, from the class number (from 1) and class name of each image in `source`.

    Raises `DatasetError` if a number has two names or the numbers have a gap.
    """
    names: dict[int, str] = {}
    for number, name in images:
        if (known := names.setdefault(number, name)) != name:
            raise DatasetError(f"{source}: class {number} is {known} and {name}; restore the lists")
    if sorted(names) != list(range(1, len(names) + 1)):
        raise DatasetError(f"{source}: the classes aren't 1 .. {len(names)}; restore the lists")
    return tuple(names[number] for number in sorted(names))
