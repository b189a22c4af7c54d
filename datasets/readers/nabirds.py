"""NABirds (Van Horn et al., CVPR 2015): birds of North America, visual categories within species.

Layout: the tables of `datasets.formats.text_tables`, plus `classes.txt` (class id, name with blanks) for all nodes of a
class tree. Image ids are UUIDs; part ids start at 0.

The classes are the nodes that have images, i.e. the leaves. Their ids have gaps. Sorted as numbers they become the
labels 0 .. K-1; released code often leaves this order to a Python set. Image folders are named after the same ids,
padded with zeros, but the labels come from the table. `hierarchy.txt` and `photographers.txt` are not read.

201 boxes of the release end beyond their image, by up to 221 pixels; with `sizes.txt` (width, height) they are clipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.formats.text_tables import AnnotatedFiles, names_by_id
from datasets.release import Archive, Expected


class NABirds(AnnotatedFiles):
    """The official split, with boxes and part points if their files exist."""

    known_as = "NABirds"
    title = f"{known_as}: 555 kinds of North American birds, 23 929 train and 24 633 test photos"
    terms = "non-commercial research under the Cornell Lab's terms of use; the photographers keep their rights"
    folder = "nabirds"
    layout = "the tables of NABirds (images.txt, hierarchy.txt …)"
    first_part = 0
    archives = (Archive("nabirds.tar.gz", md5="df21a9e4db349a14e2b08adfd45873bd", gives=("nabirds",)),)
    page = "https://dl.allaboutbirds.org/nabirds"
    by_hand = f"fill in the form at {page}; it leads to nabirds.tar.gz"
    expected = Expected(
        classes=555,
        train=23_929,
        test=24_633,
        split_sha256="ecc28e3105a4ff28ad0a7af08506910052d8916267e634e3d613e7145776fcbf",
        tables="original",
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = names_by_id(folder / "classes.txt", "class")
        ids, self.labels = np.unique(self.tables.class_ids(names), return_inverse=True)
        self.classes = tuple(names[identity] for identity in ids.tolist())

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        return (folder / "images.txt").is_file() and (folder / "hierarchy.txt").is_file()
