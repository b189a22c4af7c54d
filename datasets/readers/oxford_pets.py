"""Oxford-IIIT Pets (Parkhi et al., 2012): breeds of cats and dogs.

The layout: `images/Abyssinian_1.jpg` …, and `annotations/trainval.txt` and `test.txt` (image, class from 1, species: 1
cat, 2 dog, breed within the species). `list.txt` holds both once more under a header of comments, and isn't read. Among
the images lie a few files of MATLAB, which no list names; some called .jpg are of other formats (see
`datasets.formats.decode`).

There are no boxes here: `annotations/xmls` has them of the head, not of the animal, and of no test image.

From torchvision's reader comes the name of the folder; it reads one split at a time and takes the species for another
target instead of a coarser class.
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
SPECIES = {"1": "cat", "2": "dog"}


class OxfordPets(ImageFiles, Dataset):
    """Official training and validation images as train; the species as each breed's ancestor."""

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
        self.classes = tuple(breeds[number][0] for number in sorted(breeds))
        self.ancestors = tuple((breeds[number][1],) for number in sorted(breeds))

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return folder.name == cls.folder and (folder / "annotations" / "trainval.txt").is_file()


def _breeds(images: list[Line]) -> dict[int, tuple[str, str]]:
    """Class number -> breed (from the images' names, with blanks) and species."""
    breeds: dict[int, tuple[str, str]] = {}
    for line in images:
        if line.fields[2] not in SPECIES:
            raise line.error(f"species {line.fields[2]!r} should be 1 for cat or 2 for dog; restore the file")
        breed = (line.fields[0].rpartition("_")[0].replace("_", " "), SPECIES[line.fields[2]])
        known = breeds.setdefault(line.integer(1), breed)
        if known != breed:
            raise line.error(f"class {line.fields[1]} was {' '.join(known)} and is {' '.join(breed)}; restore the file")
    return breeds
