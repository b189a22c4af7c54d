"""Oxford 102 Flowers (Nilsback and Zisserman, 2008).

Layout: `jpg/image_00001.jpg` …, `imagelabels.mat` (labels from 1, by image number) and `setid.mat` (image numbers of
the sets trnid, valid and tstid). The official training set is trnid (10 images a class), validation is valid (10), test
is tstid (the rest). Some code trains on tstid because it is larger; that is a different task.

The dataset's files have no class names; ours are those of torchvision's reader, as is the name of the folder. That
reader opens one split at a time and accepts only the official lists, byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.formats.image_files import ImageFiles
from datasets.formats.matlab import MatFile
from datasets.interface import DatasetError
from datasets.release import Archive, Expected

FOLDER = "flowers-102"
SITE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
TRAINING = {"trainval": ("trnid", "valid"), "train": ("trnid",)}
"""Sets of images by the option `train`."""
RELEASED = {
    train: Expected(classes=102, train=images, test=6_149, split_sha256=split_sha256, tables="original")
    for train, images, split_sha256 in (
        ("trainval", 2_040, "bfaa21b664df6fe86a88d3e5f94dc2c3a0043c6d2c65922621ecd549b625f132"),
        ("train", 1_020, "943e9362f237400bbb34afc9b1c2ed6f4b8c9475fa357abb343cf372ac76238e"),
    )
}
"""By the option `train`."""
CLASSES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid, bird
of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris, globe-flower,
purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily, pincushion flower, fritillary, red
ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke, sweet william, carnation,
garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped cattleya, cape flower, great masterwort,
siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold,
buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff,
gaura, geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan, silverbush,
californian poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, gazania, azalea, water lily,
rose, thorn apple, morning glory, passion flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus,
columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss,
foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily
"""


class Flowers102(ImageFiles):
    """The official split; no boxes.

    Args:
        folder: contains `jpg/`, `imagelabels.mat` and `setid.mat`.
        train: `trainval` trains on trnid and valid (2 040 images), as most papers do; `train` on trnid alone (1 020).
    """

    known_as = "Oxford 102 Flowers"
    title = f"{known_as}: 102 flowers, 2 040 train (with validation) and 6 149 test photos"
    terms = "none come with the files"
    folder = FOLDER
    marker = "setid.mat"
    archives = (
        Archive(
            "102flowers.tgz",
            (f"{SITE}/102flowers.tgz",),
            sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            size=344_862_509,
            gives=(f"{FOLDER}/jpg",),
        ),
        Archive(
            "imagelabels.mat",
            (f"{SITE}/imagelabels.mat",),
            sha256="4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            gives=(f"{FOLDER}/imagelabels.mat",),
        ),
        Archive(
            "setid.mat",
            (f"{SITE}/setid.mat",),
            sha256="46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
            gives=(f"{FOLDER}/setid.mat",),
        ),
    )
    expected = RELEASED["trainval"]

    def __init__(self, folder: Path, train: str = "trainval") -> None:
        if train not in TRAINING:
            raise DatasetError(f"oxford_flowers102: train is {train!r}; it is one of {', '.join(TRAINING)}")
        self.expected = RELEASED[train]
        if train == "train":
            self.title = f"{self.known_as}: 102 flowers, 1 020 train and 6 149 test photos"
        self.root = folder
        self.image_folder = folder / "jpg"
        self.classes = tuple(" ".join(CLASSES.split()).split(", "))
        numbers = _sets(MatFile(folder / "setid.mat"))
        used = np.sort(np.concatenate([numbers[name] for name in (*TRAINING[train], "tstid")]))
        self.paths = tuple(f"image_{number:05d}.jpg" for number in used.tolist())
        self.labels = self._labels(used)
        self.is_train = ~np.isin(used, numbers["tstid"])

    @classmethod
    def release(cls, options: Mapping[str, Any]) -> Expected | None:
        return RELEASED.get(str(options.get("train", "trainval")))

    def _labels(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels (from 0) of the images with these numbers (from 1)."""
        file = self.root / "imagelabels.mat"
        labels = MatFile(file).integers("labels")
        if numbers[0] < 1 or numbers[-1] > len(labels):
            raise DatasetError(
                f"{file} has labels of images 1 .. {len(labels)}, and setid.mat names {numbers[0]} .. {numbers[-1]}; "
                "restore both"
            )
        return labels[numbers - 1] - 1


def _sets(mat: MatFile) -> dict[str, NDArray[np.int64]]:
    """Image numbers of each set. Raises `DatasetError` if an image is in two sets."""
    sets = {name: mat.integers(name) for name in ("trnid", "valid", "tstid")}
    numbers, counts = np.unique(np.concatenate(list(sets.values())), return_counts=True)
    if (counts > 1).any():
        raise DatasetError(f"{mat.file} names image {numbers[counts > 1][0]} twice; restore the file")
    if len(sets["trnid"]) > len(sets["tstid"]):
        raise DatasetError(
            f"{mat.file}: trnid has more images than tstid; they were swapped, restore the file from its site"
        )
    return sets
