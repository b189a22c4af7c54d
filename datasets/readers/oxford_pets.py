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

from datasets.formats.image_files import ImageFiles
from datasets.formats.text_tables import Line, lines
from datasets.interface import Dataset, DatasetError
from datasets.release import Archive, Expected

FOLDER = "oxford-iiit-pet"
SITES = ("https://thor.robots.ox.ac.uk/~vgg/data/pets", "https://www.robots.ox.ac.uk/~vgg/data/pets/data")


class OxfordPets(ImageFiles, Dataset):
    """Trains on the official training and validation images."""

    title = "Oxford-IIIT Pets: 37 breeds of cats and dogs, 3 680 train (with validation) and 3 669 test photos"
    terms = "CC BY-SA 4.0"
    folder = FOLDER
    archives = (
        Archive(
            "images.tar.gz",
            tuple(f"{site}/images.tar.gz" for site in SITES),
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
            size=791_918_971,
            into=FOLDER,
            gives=(f"{FOLDER}/images",),
        ),
        Archive(
            "annotations.tar.gz",
            tuple(f"{site}/annotations.tar.gz" for site in SITES),
            sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
            size=19_173_078,
            into=FOLDER,
            gives=(f"{FOLDER}/annotations",),
        ),
    )
    expected = Expected(classes=37, train=3_680, test=3_669)
    image_folder: Path

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.image_folder = folder / "images"
        train, test = (list(lines(folder / "annotations" / f"{split}.txt", 4)) for split in ("trainval", "test"))
        self.paths = tuple(f"{line.fields[0]}.jpg" for line in (*train, *test))
        self.labels = np.array([line.integer(1) - 1 for line in (*train, *test)], dtype=np.int64)
        self.is_train = np.arange(len(self.paths)) < len(train)
        breeds = _breeds([*train, *test])
        if sorted(breeds) != list(range(1, len(breeds) + 1)):
            raise DatasetError(f"{folder / 'annotations'}: the classes aren't 1 .. {len(breeds)}; restore the lists")
        self.classes = tuple(breeds[number] for number in sorted(breeds))

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return folder.name == cls.folder and (folder / "annotations" / "trainval.txt").is_file()


def _breeds(images: list[Line]) -> dict[int, str]:
    """Class number -> name of the breed, from the names of its images."""
    breeds: dict[int, str] = {}
    for line in images:
        breed = line.fields[0].rpartition("_")[0].replace("_", " ")
        known = breeds.setdefault(line.integer(1), breed)
        if known != breed:
            raise line.error(f"class {line.fields[1]} was {known} before and is {breed} here; restore the file")
    return breeds
