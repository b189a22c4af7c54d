"""Stanford Cars (Krause et al., 2013), in either of its two published layouts.

*Separate*: `cars_train/00001.jpg` …, `cars_test/00001.jpg` …, `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat` and
`cars_test_annos_withlabels.mat`. The annotation files may be in `devkit/` or above it, and the images one folder deeper
(`cars_train/cars_train/`), as in Kaggle's copy.
*Combined*: `car_ims/000001.jpg` … and `cars_annos.mat`, which also gives the split.

Both contain the same images and split but number the files differently: the hashes of their tables differ, and
predictions can't be paired across layouts. Kaggle's copy has the images of the first layout and the `cars_annos.mat` of
the second, which don't match; if `cars_train` exists, the first layout is used.

torchvision's reader supports only the first layout, opens one split at a time and has no boxes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.formats.image_files import ImageFiles
from datasets.formats.matlab import MatFile
from datasets.interface import DatasetError
from datasets.release import Archive, Expected

FOLDER = "stanford_cars"
TRAIN, TEST = "cars_train", "cars_test"
TEST_LABELS = "cars_test_annos_withlabels.mat"
ISSUE = "https://github.com/pytorch/vision/issues/7545"
APART = Expected(
    classes=196,
    train=8_144,
    test=8_041,
    split_sha256="5f5966f8a9f524be6fd0a19f3e0736b0a1fce430dab4fd3087c3fd9e6b3fe10c",
    tables="training list original, test labels derived",
)
"""The layout of two image folders."""
TOGETHER = replace(
    APART, split_sha256="8239f52f948c9574e96431ceab0291527f792eef237130a6f6388d56b10e86a9", tables="derived"
)
"""The layout of one."""
ANNOTATIONS = ("devkit", ".", "car_devkit/devkit", "car_devkit")
"""Folders of the annotation files in the original, in copies, and in Kaggle's copy."""


class StanfordCars(ImageFiles):
    """The official split, with boxes."""

    known_as = "Stanford Cars"
    title = f"{known_as}: 196 makes, models and years, 8 144 train and 8 041 test photos"
    terms = "non-commercial research (as others state it; the site with the original terms is gone)"
    folder = FOLDER
    archives = (
        Archive(
            "cars_train.tgz",
            sha256="512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288",
            size=979_269_282,
            gives=(f"{FOLDER}/{TRAIN}",),
        ),
        Archive(
            "cars_test.tgz",
            sha256="bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243",
            size=977_350_468,
            gives=(f"{FOLDER}/{TEST}",),
        ),
        Archive(
            "car_devkit.tgz",
            # A copy linked in ISSUE; its checksum is that of the original.
            ("https://github.com/pytorch/vision/files/11644847/car_devkit.tgz",),
            sha256="b97deb463af7d58b6bfaa18b2a4de9829f0f79e8ce663dfa9261bf7810e9accd",
            size=330_960,
            gives=(f"{FOLDER}/devkit",),
        ),
        Archive(
            TEST_LABELS,
            sha256="790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05",
            size=185_758,
            gives=(f"{FOLDER}/{TEST_LABELS}",),
        ),
    )
    page = "https://kaggle.com/datasets/jessicali9530/stanford-cars-dataset"
    by_hand = (
        f"the original site is gone: get the images from {page}, the rest as {ISSUE} says, and put all into {FOLDER}/"
    )
    expected = APART

    def __init__(self, folder: Path) -> None:
        self.image_folder = folder
        if (folder / TRAIN).is_dir():
            self._read_separate()
        elif (folder / "cars_annos.mat").is_file():
            self._read_combined()
        else:
            raise DatasetError(f"{folder} has neither {TRAIN}/ nor cars_annos.mat; {self.by_hand}")

    @classmethod
    def has_layout(cls, folder: Path) -> bool:
        return (folder / TRAIN).is_dir() or (folder / "cars_annos.mat").is_file()

    def file(self, index: int) -> Path:
        return self.image_folder / self._places[index]

    def _read_separate(self) -> None:
        self.classes = _devkit(self.image_folder, "cars_meta.mat").texts("class_names")  # with slashes: "Ram C/V …"
        annotations = {TRAIN: _devkit(self.image_folder, "cars_train_annos.mat"), TEST: _test_labels(self.image_folder)}
        images = [(split, name) for split, mat in annotations.items() for name in mat.texts("annotations", "fname")]
        deeper = {
            split: f"{split}/{split}" if (self.image_folder / split / split).is_dir() else split
            for split in annotations
        }
        self._places = tuple(f"{deeper[split]}/{name}" for split, name in images)
        self.paths = tuple(f"{split}/{name}" for split, name in images)
        self.is_train = np.array([split == TRAIN for split, _ in images])
        self.labels = np.concatenate([_labels(mat, len(self.classes)) for mat in annotations.values()])
        self.boxes = np.concatenate([_boxes(mat) for mat in annotations.values()])

    def _read_combined(self) -> None:
        self.expected = TOGETHER
        mat = MatFile(self.image_folder / "cars_annos.mat")
        self.classes = mat.texts("class_names")
        self.paths = self._places = mat.texts("annotations", "relative_im_path")
        self.is_train = mat.integers("annotations", "test") == 0
        self.labels = _labels(mat, len(self.classes))
        self.boxes = _boxes(mat)


def _find(root: Path, name: str) -> Path | None:
    return next((root / place / name for place in ANNOTATIONS if (root / place / name).is_file()), None)


def _devkit(root: Path, name: str) -> MatFile:
    file = _find(root, name)
    if file is None:
        raise DatasetError(
            f"{root / 'devkit' / name} is missing; unpack car_devkit.tgz there "
            "(a cars_annos.mat can't replace it: it numbers other files)"
        )
    return MatFile(file)


def _test_labels(root: Path) -> MatFile:
    file = _find(root, TEST_LABELS)
    if file is None:
        raise DatasetError(
            f"{root / TEST_LABELS} is missing (the devkit's cars_test_annos.mat has no labels); get it from {ISSUE}"
        )
    mat = MatFile(file)
    if not mat.has("annotations", "class"):
        raise DatasetError(
            f"{file} has no labels: it is the devkit's cars_test_annos.mat, renamed; get the labelled file from {ISSUE}"
        )
    return mat


def _labels(mat: MatFile, classes: int) -> NDArray[np.int64]:
    """`(N,)` from 0; the file counts from 1."""
    labels = mat.integers("annotations", "class")
    outside = labels[(labels < 1) | (labels > classes)]
    if len(outside):
        raise DatasetError(f"{mat.file}: class {outside[0]} is outside 1 .. {classes}; restore the file")
    return labels - 1


def _boxes(mat: MatFile) -> NDArray[np.float32]:
    """`(N, 4)` x, y, width, height. The file has the first and last pixel inside, counted from 1."""
    left, top, right, bottom = (mat.integers("annotations", f"bbox_{edge}") for edge in ("x1", "y1", "x2", "y2"))
    return np.stack([left - 1, top - 1, right - left + 1, bottom - top + 1], axis=1).astype(np.float32)
