"""NABirds (Van Horn et al., CVPR 2015): birds of North America, kinds within species.

The layout: the tables of `datasets.formats.text_tables`, with `classes.txt` (class, name with blanks) over all nodes of
a tree, `hierarchy.txt` (class, parent) and `image_class_labels.txt` (image, class). An image id is a UUID, and parts
count from 0. Classes are those nodes that images are of, the leaves. Their ids have gaps; sorted as numbers, which
released code often leaves to the order of a set, they become labels 0 .. K-1. Image folders are the same ids padded
with zeros; nothing is read from them. `sizes.txt` and `photographers.txt` are not used.

The tree is not equally deep everywhere: a leaf's parent is its species (404 in all) and the last but one of its
ancestors its order (22), the last being the root; between the two some have a family and some have nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.formats.image_files import ImageFiles
from datasets.formats.text_tables import ImageTables, lines, names_by_id
from datasets.interface import Dataset, DatasetError
from datasets.release import Archive, Expected


class NABirds(ImageFiles, Dataset):
    """The official split; the tree above the classes; boxes and part points where their files are there."""

    title = "NABirds: 555 kinds of North American birds, 23 929 train and 24 633 test photos"
    terms = "non-commercial research under the Cornell Lab's terms of use; the photographers keep their rights"
    folder = "nabirds"
    archives = (Archive("nabirds.tar.gz", md5="df21a9e4db349a14e2b08adfd45873bd", gives=("nabirds",)),)
    by_hand = "fill in the form at https://dl.allaboutbirds.org/nabirds; it leads to nabirds.tar.gz"
    expected: Expected | None = Expected(classes=555, train=23_929, test=24_633)
    image_folder: Path

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.image_folder = folder / "images"
        if folder.name != self.folder:
            self.title, self.expected = f"{folder.name}: images in the layout of NABirds", None
        tables = ImageTables(folder)
        self.paths = tables.paths
        names = names_by_id(folder / "classes.txt", "class")
        ids, self.labels = np.unique(_class_ids(tables, names), return_inverse=True)
        self.classes = tuple(names[identity] for identity in ids.tolist())
        self.ancestors = _ancestors(folder / "hierarchy.txt", names, ids.tolist())
        self.is_train = tables.split()
        self.boxes = tables.boxes()
        self.parts = tables.parts(first=0)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return (folder / "images.txt").is_file() and (folder / "hierarchy.txt").is_file()


def _class_ids(tables: ImageTables, names: dict[int, str]) -> NDArray[np.int64]:
    """(N,) the id of each image's class, as the files have it."""
    ids = np.zeros(len(tables.paths), dtype=np.int64)
    for place, line in tables.of_images("image_class_labels.txt", 2):
        ids[place] = line.integer(1)
        if line.integer(1) not in names:
            raise line.error(f"class {line.fields[1]} is not in classes.txt; correct it or add it there")
    return ids


def _ancestors(file: Path, names: dict[int, str], leaves: list[int]) -> tuple[tuple[str, ...], ...]:
    """Per leaf the names of the nodes above it, from its parent to the root. Raises `DatasetError` if it is no tree."""
    parents: dict[int, int] = {}
    for line in lines(file, 2):
        child, parent = line.integer(0), line.integer(1)
        for node in (child, parent):
            if node not in names:
                raise line.error(f"class {node} is not in classes.txt; correct it or add it there")
        if child in parents:
            raise line.error(f"class {child} has a parent already; remove one of the lines")
        parents[child] = parent
    chains = [_upwards(leaf, parents, file) for leaf in leaves]
    for chain in chains:
        if chain[-1] != chains[0][-1]:
            raise DatasetError(
                f"{file}: class {chain[-1]} ({names[chain[-1]]}) has no parent, and neither has {chains[0][-1]}; "
                "a tree has one root: restore the file"
            )
    return tuple(tuple(names[node] for node in chain[1:]) for chain in chains)


def _upwards(leaf: int, parents: dict[int, int], file: Path) -> list[int]:
    """The leaf, its parent, and so on to the root."""
    chain = [leaf]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
        if len(chain) > len(parents) + 1:
            raise DatasetError(f"{file}: going up from class {leaf} never comes to an end; restore the file")
    return chain
