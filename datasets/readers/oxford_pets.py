"""Oxford-IIIT Pets (Parkhi et al., 2012): breeds of cats and dogs.

Layout: `images/Abyssinian_1.jpg` …, `annotations/trainval.txt` and `annotations/test.txt` (image, class from 1,
species, breed within the species). `list.txt` repeats both lists and is not read. `images/` also holds a few MATLAB
files that no list names, and some files called .jpg have other formats (see `datasets.formats.decode`).

No boxes: `annotations/xmls` has boxes of heads, not of animals, and none for test images.

The folder is named as torchvision's reader names it. That reader opens one split at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.formats.image_files import ImageFiles, numbered_classes
from datasets.formats.text_tables import lines
from datasets.release import Archive, Expected

FOLDER = "oxford-iiit-pet"
SITES = ("https://thor.robots.ox.ac.uk/~vgg/data/pets", "https://www.robots.ox.ac.uk/~vgg/data/pets/data")


class OxfordPets(ImageFiles):
    """Trains on the official training and validation images."""

    known_as = "Oxford-IIIT Pets"
    title = f"{known_as}: 37 breeds of cats and dogs, 3 680 train (with validation) and 3 669 test photos"
    terms = "CC BY-SA 4.0"
    folder = FOLDER
    marker = "annotations/trainval.txt"
    archives = (
        Archive(
            "images.tar.gz",
            tuple(f"{site}/images.tar.gz" for site in SITES),
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            size=791_918_971,
            gives=(f"{FOLDER}/images",),
        ),
        Archive(
            "annotations.tar.gz",
            tuple(f"{site}/annotations.tar.gz" for site in SITES),
            sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            size=19_173_078,
            gives=(f"{FOLDER}/annotations",),
        ),
    )
    expected = Expected(
        classes=37,
        train=3_680,
        test=3_669,
        split_sha256="f9407931a24585a1904c5462bd0905012a268ce1addd900d6ef2d092d77070a3",
        tables="derived; 598 original lines agree",
    )

    def __init__(self, folder: Path) -> None:
        self.image_folder = folder / "images"
        train, test = (list(lines(folder / "annotations" / f"{split}.txt", 4)) for split in ("trainval", "test"))
        self.paths = tuple(f"{line.fields[0]}.jpg" for line in (*train, *test))
        self.labels = np.array([line.integer(1) - 1 for line in (*train, *test)], dtype=np.int64)
        self.is_train = np.arange(len(self.paths)) < len(train)
        breeds = [(line.integer(1), line.fields[0].rpartition("_")[0].replace("_", " ")) for line in (*train, *test)]
        self.classes = numbered_classes(breeds, folder / "annotations")
