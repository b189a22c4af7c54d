"""Stanford Dogs (Khosla et al., 2011): dog breeds, a subset of ImageNet.

Layout: `Images/n02085620-Chihuahua/n02085620_5927.jpg` …, `train_list.mat` and `test_list.mat` (file_list, labels
from 1), and `Annotation/n02085620-Chihuahua/n02085620_5927` in PASCAL VOC's XML, without a suffix.

All images are from ImageNet's training set: a backbone pretrained on it has seen the test images with their labels.
At least one file called .jpg is a PNG with transparency (n02105855_2933.jpg); see `datasets.formats.decode`.

torchvision has no reader of this dataset.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from datasets.formats.image_files import ImageFiles, numbered_classes
from datasets.formats.matlab import MatFile
from datasets.interface import DatasetError
from datasets.release import Archive, Expected

FOLDER = "stanford_dogs"
SITE = "http://vision.stanford.edu/aditya86/ImageNetDogs"
LISTS = ("train_list.mat", "test_list.mat")


class StanfordDogs(ImageFiles):
    """The official split. The box of an image with several dogs is that of the largest."""

    known_as = "Stanford Dogs"
    title = f"{known_as}: 120 breeds, 12 000 train and 8 580 test photos, all of them from ImageNet's training set"
    terms = "ImageNet's: non-commercial research and education; the photographers keep their rights"
    folder = FOLDER
    marker = "Images"
    archives = (
        Archive(
            "images.tar",
            (f"{SITE}/images.tar",),
            sha256="a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
            size=793_579_520,
            gives=(f"{FOLDER}/Images",),
        ),
        Archive(
            "annotation.tar",
            (f"{SITE}/annotation.tar",),
            sha256="662ed36f707be6b195c2fda392d8e153e83af28cedc8e2134a649f198def30fd",
            size=21_852_160,
            gives=(f"{FOLDER}/Annotation",),
        ),
        Archive(
            "lists.tar",
            (f"{SITE}/lists.tar",),
            sha256="34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
            size=481_280,
            gives=tuple(f"{FOLDER}/{name}" for name in LISTS),
        ),
    )
    expected = Expected(
        classes=120,
        train=12_000,
        test=8_580,
        split_sha256="f77955bb6dc8566b0a8358dd4920c1525ab829d8c9833c8be55ad95421aef6b2",
        tables="derived",
    )

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.image_folder = folder / "Images"
        train, test = (MatFile(folder / name) for name in LISTS)
        self.paths = train.texts("file_list") + test.texts("file_list")
        self.labels = np.concatenate([_labels(train), _labels(test)])
        self.is_train = np.arange(len(self.paths)) < len(train.texts("file_list"))
        folders = [path.partition("/")[0] for path in self.paths]
        breeds = numbered_classes(zip((self.labels + 1).tolist(), folders, strict=True), folder / LISTS[0])
        self.classes = tuple(breed.partition("-")[2].replace("_", " ") for breed in breeds)

    @property
    def has_boxes(self) -> bool:
        return (self.root / "Annotation").is_dir()

    @cached_property
    def boxes(self) -> NDArray[np.float32] | None:  # type: ignore[override]  # lazy: 20 580 small files
        """`(N, 4)` x, y, width, height; None without the folder `Annotation`."""
        if not self.has_boxes:
            return None
        files = [self.root / "Annotation" / path.removesuffix(".jpg") for path in self.paths]
        return np.array([_largest_box(file) for file in files], dtype=np.float32)


def _labels(mat: MatFile) -> NDArray[np.int64]:
    """`(N,)` from 0, one per file; the list counts from 1."""
    labels = mat.integers("labels")
    images = len(mat.texts("file_list"))
    if len(labels) != images:
        raise DatasetError(f"{mat.file} has {images} images and {len(labels)} labels; restore it from lists.tar")
    return labels - 1


def _largest_box(file: Path) -> tuple[float, float, float, float]:
    """x, y, width, height of the largest object of a VOC annotation, taking its numbers as edges.

    Clipped to the stated size of the image: two boxes of the release end beyond it.
    """
    try:
        tree = ElementTree.parse(file)
        width, height = (float(tree.findtext(f"size/{side}", "inf")) for side in ("width", "height"))
        objects = tree.iterfind("object/bndbox")
        edges = [[float(box.findtext(edge, "")) for edge in ("xmin", "ymin", "xmax", "ymax")] for box in objects]
        boxes = [(x, y, min(right, width) - x, min(bottom, height) - y) for x, y, right, bottom in edges]
        return max(boxes, key=lambda box: box[2] * box[3])
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(f"{file} holds no box that can be read; restore it from annotation.tar") from error
