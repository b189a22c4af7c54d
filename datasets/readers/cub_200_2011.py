"""Caltech-UCSD Birds-200-2011 (Wah et al., 2011), and any folder in its layout.

Layout: the tables of `datasets.formats.text_tables`, plus `classes.txt` (class id, name). Boxes and part points are
optional. Image ids may have gaps; class ids 1 .. K become the labels 0 .. K-1.
"""

from __future__ import annotations

from pathlib import Path

from datasets.formats.text_tables import AnnotatedFiles, numbered_names
from datasets.release import Archive, Expected


class CUB(AnnotatedFiles):
    """The official split, with boxes and part points if their files exist."""

    known_as = "CUB-200-2011"
    title = "Caltech-UCSD Birds-200-2011: 200 bird species, 5 994 train and 5 794 test photos"
    terms = "non-commercial research and education; the photographers keep their rights"
    folder = "CUB_200_2011"
    layout = "the tables of CUB-200-2011 (images.txt …)"
    archives = (
        Archive(
            "CUB_200_2011.tgz",
            ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",),
            sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            size=1_150_585_339,
            gives=("CUB_200_2011",),
        ),
    )
    expected = Expected(
        classes=200,
        train=5_994,
        test=5_794,
        split_sha256="649fdaec3ac4b2b131bd749af25a8b835609705790a70145fdcb8c6d6ab680e3",
        tables="original",
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.classes = numbered_names(folder / "classes.txt", "class")
        self.labels = self.tables.class_ids(range(1, len(self.classes) + 1)) - 1

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        tables = all((folder / name).is_file() for name in ("images.txt", "train_test_split.txt"))
        return tables and not (folder / "hierarchy.txt").is_file()  # otherwise it is NABirds, whose class ids have gaps

    @classmethod
    def mistaken(cls, folder: Path) -> str | None:
        if not (folder / "images").is_dir() or not (folder / "lists" / "train.txt").is_file():
            return None
        return (
            "Caltech-UCSD Birds 200 of 2010, which has other images and another split than CUB-200-2011, the one that "
            "papers use; get that: data fetch cub_200_2011"
        )
