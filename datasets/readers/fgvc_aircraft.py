"""FGVC-Aircraft, release 2013b (Maji et al., 2013).

Layout, below `data/`: `images/0034309.jpg` …; one list per level and split such as `images_variant_trainval.txt`
(image id, class name with blanks); `variants.txt`, `families.txt` and `manufacturers.txt`, whose order numbers the
classes; `images_box.txt` (image id, then xmin, ymin, xmax, ymax: the first and last pixel inside). The README has
them count from (1, 1), but boxes begin at 0, and end at 1023 and 1199, hardly ever at 1024 or 1200: they count from 0.
Image ids start with zeros, so they are read as words. A class name may contain a slash (F/A-18).

The README of the release describes an earlier state with 102 variants and 10 200 images; its files have 100 and 10 000.
Papers train on the training and validation images together, and so does this reader. The lists in some repositories
hold only half of them.

The lowest 20 pixels of every photo are a copyright banner that the README asks to remove. It is cut off unless the
option `banner` is set.

torchvision's reader opens one split at a time, keeps the banner and has no boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.formats.image_files import ImageFiles
from datasets.formats.text_tables import clipped, lines
from datasets.interface import DatasetError
from datasets.release import Archive, Expected

FOLDER = "fgvc-aircraft-2013b"
CLASS_FILES = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}
"""By level."""
RELEASED = {
    level: Expected(classes, 6_667, 3_333, split_sha256, tables="derived; the sizes of four original lists agree")
    for level, classes, split_sha256 in (
        ("variant", 100, "57949ca062b7105a1fe50e55982bed238549f15ea81c1abe80ea1b6f4d918ffa"),
        ("family", 70, "0951d8361bbdfa87c5e5c2f582a7e8e4fe80f43386942682b9419dcd97585abb"),
        ("manufacturer", 30, "d82786117088463e975c44f0c6770f897837919f516a553163f26ecaa608e2b0"),
    )
}
"""By level."""
BOXES = "images_box.txt"
BANNER = 20
"""Height in pixels (README of the release)."""


class FGVCAircraft(ImageFiles):
    """Trains on the official training and validation images; with boxes.

    Args:
        folder: contains `data/`.
        level: which classes: `variant`, `family` or `manufacturer`.
        banner: keep the banner at the bottom of each image.
    """

    known_as = "FGVC-Aircraft"
    title = f"{known_as} 2013b: 100 variants, 6 667 train (with validation) and 3 333 test photos"
    terms = "non-commercial research only; the photographers keep their rights"
    folder = FOLDER
    marker = "data/variants.txt"
    # No reliable checksum of the archive was found.
    archives = (
        Archive(
            "fgvc-aircraft-2013b.tar.gz",
            ("https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",),
            about=2_750_000_000,
            gives=(FOLDER,),
        ),
    )
    expected = RELEASED["variant"]

    def __init__(self, folder: Path, level: str = "variant", banner: bool = False) -> None:
        if level not in CLASS_FILES:
            raise DatasetError(f"fgvc_aircraft: level is {level!r}; it is one of {', '.join(CLASS_FILES)}")
        if not isinstance(banner, bool):
            raise DatasetError(f"fgvc_aircraft: banner is {banner!r}; it is true or false")
        self.expected = RELEASED[level]
        self.title = self.title.replace("100 variants", f"{self.expected.classes} {CLASS_FILES[level].split('.')[0]}")
        self.banner = banner
        self.data = folder / "data"
        self.image_folder = self.data / "images"
        self.classes = tuple(line.fields[0] for line in lines(self.data / CLASS_FILES[level], 1, text_at_end=True))
        train, test = self._class_of_image(level, "trainval"), self._class_of_image(level, "test")
        for image in train.keys() & test.keys():
            raise DatasetError(f"{self.data}: image {image} is in trainval and in test; restore the lists")
        self.paths = tuple(f"{image}.jpg" for image in (*train, *test))
        label_of = {name: label for label, name in enumerate(self.classes)}
        self.labels = np.array([label_of[name] for name in (*train.values(), *test.values())], dtype=np.int64)
        self.is_train = np.arange(len(self.paths)) < len(train)

    @classmethod
    def release(cls, options: Mapping[str, Any]) -> Expected | None:
        return RELEASED.get(str(options.get("level", "variant")))

    @property
    def has_boxes(self) -> bool:
        return (self.data / BOXES).is_file()

    @cached_property
    def boxes(self) -> NDArray[np.float32] | None:  # type: ignore[override]  # lazy: it opens every image
        """`(N, 4)` x, y, width, height, clipped to the image; None without `images_box.txt`."""
        if not self.has_boxes:
            return None
        file = self.data / BOXES
        edges = {line.fields[0]: [line.real(place) for place in (1, 2, 3, 4)] for line in lines(file, 5)}
        for path in self.paths:
            if path.removesuffix(".jpg") not in edges:
                raise DatasetError(f"{file} has no line for {path}; restore the file")
        ends = np.array([edges[path.removesuffix(".jpg")] for path in self.paths], dtype=np.float32)
        sizes = np.array([_size(self.image_folder / path) for path in self.paths], dtype=np.float32)
        sizes[:, 1] -= 0 if self.banner else BANNER
        return clipped(np.concatenate([ends[:, :2], ends[:, 2:] - ends[:, :2] + 1], axis=1), sizes)

    @property
    def content_key(self) -> dict[str, Any]:
        return super().content_key | {"banner": self.banner}

    def image(self, index: int) -> NDArray[np.uint8]:
        image = super().image(index)
        if self.banner:
            return image
        if len(image) <= BANNER:
            raise DatasetError(
                f"{self.file(index)} is only {len(image)} pixels high, less than its banner; restore the file"
            )
        return image[:-BANNER]

    def _class_of_image(self, level: str, split: str) -> dict[str, str]:
        """Image id -> class name, in file order."""
        names: dict[str, str] = {}
        for line in lines(self.data / f"images_{level}_{split}.txt", 2, text_at_end=True):
            image, name = line.fields
            if name not in self.classes:
                raise line.error(f"{name!r} is not in {CLASS_FILES[level]}; restore both files")
            if image in names:
                raise line.error(f"image {image} is listed twice; restore the file")
            names[image] = name
        return names


def _size(file: Path) -> tuple[int, int]:
    """Width and height of an image in pixels, from its header."""
    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{file} can't be read; restore it from the archive") from error
