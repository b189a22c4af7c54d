"""Caltech-UCSD Birds-200-2011 (Wah et al., 2011), and any folder in its layout.

Layout: the tables of `datasets.formats.text_tables`, plus `classes.txt` (class id, name) and `image_class_labels.txt`
(image id, class id). Boxes and part points are optional. Image ids may have gaps; class ids 1 .. K become the labels
0 .. K-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.formats.image_files import ImageFiles
from datasets.formats.text_tables import ImageTables, numbered_names
from datasets.interface import Dataset
from datasets.release import Archive, Expected


class CUB(ImageFiles, Dataset):
    """The official split, with boxes and part points if their files exist."""

    title = "Caltech-UCSD Birds-200-2011: 200 bird species, 5 994 train and 5 794 test photos"
    terms = "non-commercial research and education; the photographers keep their rights"
    folder = "CUB_200_2011"
    archives = (
        Archive(
            "CUB_200_2011.tgz",
            ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            md5="97eceeb196236b17998738112f37df78",
            size=1_150_585_339,
            gives=("CUB_200_2011",),
        ),
    )
    expected: Expected | None = Expected(classes=200, train=5_994, test=5_794)
    image_folder: Path

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.image_folder = folder / "images"
        if folder.name != self.folder:
            self.title, self.expected = f"{folder.name}: images in the layout of CUB-200-2011", None
        tables = ImageTables(folder)
        self.paths = tables.paths
        self.classes = numbered_names(folder / "classes.txt", "class")
        self.labels = self._labels(tables)
        self.is_train = tables.split()
        self.boxes = tables.boxes()
        self.parts = tables.parts()

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        tables = all((folder / name).is_file() for name in ("images.txt", "train_test_split.txt"))
        return tables and not (folder / "hierarchy.txt").is_file()  # otherwise it is NABirds, whose class ids have gaps

    def _labels(self, tables: ImageTables) -> NDArray[np.int64]:
        labels = np.full(len(self.paths), -1, dtype=np.int64)
        for place, line in tables.of_images("image_class_labels.txt", 2):
            label = line.integer(1)
            if not 1 <= label <= len(self.classes):
                raise line.error(
                    f"class {label} is outside 1 .. {len(self.classes)}; correct it or add it to classes.txt"
                )
            labels[place] = label - 1
        return labels
