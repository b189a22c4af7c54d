"""The built-in default dataset: drawn fine-grained birds, no download.

A class is a tuple of part styles (`PARTS` of `datasets.drawing.birds`) and nothing else: colours, pose, size, position,
light, background and clutter are random for every image, with the same ranges for every class. There is one list of
`CLASS_COUNT` classes, and a dataset is a window of it. From one class to the next, one part changes to its next style,
the parts in turn: neighbours differ in one part, classes two apart in two parts. Styles recur, so no single part
identifies a class. The numbers of styles (3, 4, 5, 4, 3, 5, 3) are ordered so that all tuples of the list differ.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.drawing import birds
from datasets.drawing.birds import PARTS, Clutter, Colour, Scene
from datasets.interface import Dataset, DatasetError, PartPoints

CLASS_COUNT = len(PARTS) * math.lcm(*(len(styles) for styles in PARTS.values()))
"""Length of the list of classes before it would repeat: 420."""

_PALETTE: tuple[Colour, ...] = (
    (44, 38, 36),
    (84, 62, 48),
    (134, 96, 62),
    (178, 140, 96),
    (214, 192, 150),
    (238, 232, 218),
    (168, 70, 44),
    (206, 124, 52),
    (222, 184, 74),
    (120, 132, 66),
    (62, 92, 62),
    (90, 134, 160),
    (52, 74, 110),
    (132, 138, 146),
    (96, 82, 112),
    (186, 206, 214),
)
"""Used for birds, leaves and sky alike, so that a colour carries no information."""


def styles_of(class_id: int) -> tuple[str, ...]:
    """The class's style of each part, in the order of `PARTS`. Raises `ValueError` outside 0 .. `CLASS_COUNT` - 1."""
    if not 0 <= class_id < CLASS_COUNT:
        raise ValueError(f"class {class_id} is outside 0 .. {CLASS_COUNT - 1}")
    last = len(PARTS) - 1
    changes = ((class_id + last - part) // len(PARTS) for part in range(len(PARTS)))
    return tuple(styles[n % len(styles)] for n, styles in zip(changes, PARTS.values(), strict=True))


# ---- random draws -----------------------------------------------------------------------------------------------


class Draws:
    """Random choices based on `random()` alone, whose stream Python guarantees across versions."""

    def __init__(self, *key: int | str) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self.random = Random(int.from_bytes(digest, "big")).random

    def within(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, inclusive."""
        return low + int((high - low + 1) * self.random())

    def colour(self, away_from: tuple[Colour, ...] = (), contrast: float = 0) -> Colour:
        """A slightly varied colour of the palette that differs in lightness by `contrast` from those in `away_from`."""
        fits = [c for c in _PALETTE if all(abs(_lightness(c) - _lightness(other)) >= contrast for other in away_from)]
        furthest = max(_PALETTE, key=lambda c: min((abs(_lightness(c) - _lightness(o)) for o in away_from), default=0))
        red, green, blue = fits[self.whole(0, len(fits) - 1)] if fits else furthest
        return tuple(min(255, max(0, value + self.whole(-14, 14))) for value in (red, green, blue))  # type: ignore[return-value]

    def clutter(self, longest: float) -> Clutter:
        leaf = self.random() < 0.7
        return Clutter(
            centre=(self.random(), self.random()),
            length=self.within(0.4, 1.0) * longest,
            thickness=self.within(0.25, 0.5) if leaf else self.within(0.03, 0.08),
            turn=self.within(-1, 1),
            colour=self.colour(),
        )


def _lightness(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def _mixed(one: Colour, other: Colour, percent: int) -> Colour:
    red, green, blue = ((a * (100 - percent) + b * percent) // 100 for a, b in zip(one, other, strict=True))
    return red, green, blue


def draw_scene(styles: tuple[str, ...], draws: Draws, difficulty: float) -> Scene:
    """Draws everything that varies within a class; `difficulty` widens the ranges."""
    d = difficulty
    body = draws.colour()
    belly = _mixed(body, draws.colour(), 30)
    wing = _mixed(body, draws.colour(), 45)
    mark = draws.colour(away_from=(body, belly, wing), contrast=90 - 50 * d)
    sky, ground = draws.colour(), draws.colour()
    background = tuple(
        tuple(_mixed(_mixed(sky, ground, 25 * row), draws.colour(), draws.whole(0, int(20 + 60 * d))) for _ in range(5))
        for row in range(5)
    )
    return Scene(
        styles=styles,
        part_scale=1.2 - 0.4 * d,
        scale=draws.within(0.48 - 0.12 * d, 0.5),
        place=(
            draws.within(0.5 - 0.5 * d - 0.1 * d, 0.5 + 0.5 * d + 0.1 * d),
            draws.within(0.5 - 0.6 * d, 0.5 + 0.6 * d),
        ),
        mirrored=draws.random() < 0.5,
        lean=-0.2 + draws.within(-0.3, 0.3) * d,
        nod=draws.within(-0.25, 0.25) * d,
        plump=1 + draws.within(-0.24, 0.24) * d,
        neck=(draws.within(-0.08, 0.08) * d, draws.within(-0.08, 0.08) * d),
        body=body,
        belly=belly,
        wing=wing,
        mark=mark,
        beak=draws.colour(),
        leg=draws.colour(),
        perch=draws.colour(),
        perch_slope=draws.within(-0.3, 0.3) * d,
        background=background,
        behind=tuple(draws.clutter(0.6) for _ in range(draws.whole(0, int(2 + 16 * d)))),
        before=tuple(draws.clutter(0.3) for _ in range(draws.whole(0, 2)) if draws.random() < 0.6 * d),
        light=(
            256 + int(draws.within(-120, 80) * d),
            int(draws.within(-90, 90) * d),
            int(draws.within(-90, 90) * d),
        ),
        blur=int(draws.within(0, 256) * d),
        noise=int(draws.within(0, 40) * d),
        noise_seed=int(draws.random() * (1 << 53)),
    )


# ---- the dataset ------------------------------------------------------------------------------------------------


class Synthetic(Dataset):
    """`classes` kinds of birds starting at number `first_class`, drawn on request.

    `size` is the side of the images in pixels. `difficulty` ranges from 0 (upright birds in the centre, bold marks,
    calm background) to 1 (marks two thirds as large and fainter, any pose that fits the frame, dense clutter, leaves in
    front of the bird, blur, noise). At 0 the pose hardly varies, and a linear classifier of raw pixels can tell classes
    apart: good for a first look at a method, not for comparing methods. From the default difficulty on it can't.

    Class k has the same images in every window that contains it, and a larger number of images per class starts with
    the images of a smaller one.

    Raises `DatasetError` for an option outside its range.
    """

    known_as = "Drawn birds"
    title = f"{known_as} whose classes differ in small parts only"
    terms = "drawn by this project; no rights of others"

    def __init__(
        self,
        folder: Path | None = None,
        *,
        classes: int = 20,
        train_per_class: int = 40,
        test_per_class: int = 20,
        size: int = 96,
        difficulty: float = 0.5,
        seed: int = 0,
        first_class: int = 0,
    ) -> None:
        _check_whole("classes", classes, 1, CLASS_COUNT)
        _check_whole("first_class", first_class, 0, CLASS_COUNT - classes)
        _check_whole("train_per_class", train_per_class, 1, 9999)
        _check_whole("test_per_class", test_per_class, 0, 9999)
        _check_whole("size", size, 16, 2048)
        _check_whole("seed", seed, 0, 2**63 - 1)
        if isinstance(difficulty, bool) or not isinstance(difficulty, int | float) or not 0 <= difficulty <= 1:
            raise DatasetError(f"synthetic: difficulty must be a number from 0 to 1, not {difficulty!r}")
        self.name = "synthetic"
        self.size, self.difficulty, self.seed, self.first_class = size, float(difficulty), seed, first_class
        ids = range(first_class, first_class + classes)
        self.classes = tuple(f"{class_id:03d}.{'-'.join(styles_of(class_id))}" for class_id in ids)
        splits = [("train", n) for n in range(train_per_class)] + [("test", n) for n in range(test_per_class)]
        rows = [(split, label, n) for label in range(classes) for split, n in splits]
        self._numbers = tuple(n for _, _, n in rows)
        self.labels = np.array([label for _, label, _ in rows], dtype=np.int64)
        self.is_train = np.array([split == "train" for split, _, _ in rows])
        self.paths = tuple(f"{split}/{self.classes[label]}/{n:04d}.png" for split, label, n in rows)

    def scene(self, index: int) -> Scene:
        """The scene of image `index`: everything that determines its pixels besides the size."""
        class_id = self.first_class + int(self.labels[index])
        split = "train" if self.is_train[index] else "test"
        draws = Draws(self.seed, class_id, split, self._numbers[index])
        return draw_scene(styles_of(class_id), draws, self.difficulty)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Draws image `index`: RGB `(size, size, 3)`."""
        return birds.draw(self.scene(index), self.size)

    @cached_property
    def _geometry(self) -> tuple[NDArray[np.float32], PartPoints]:
        """Boxes and part points of all images, without painting (about a millisecond per image)."""
        layouts = [birds.lay_out(self.scene(index), self.size) for index in range(len(self))]
        boxes = np.array([layout.box for layout in layouts], dtype=np.float32)
        xy = np.stack([layout.points for layout in layouts]).astype(np.float32)
        seen = np.stack([birds.visible(layout, self.size) for layout in layouts])
        return boxes, PartPoints(tuple(PARTS), xy, seen)

    @property
    def has_boxes(self) -> bool:
        return True

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(PARTS)

    @property
    def boxes(self) -> NDArray[np.float32]:  # type: ignore[override]
        """(N, 4) x, y, width, height of the bird in pixels, clipped to the frame."""
        return self._geometry[0]

    @property
    def parts(self) -> PartPoints:  # type: ignore[override]
        """One point per part; invisible if outside the frame or covered by a leaf."""
        return self._geometry[1]

    @property
    def content_key(self) -> dict[str, Any]:
        return {"drawing": birds.VERSION, "seed": self.seed, "size": self.size, "difficulty": self.difficulty}


def _check_whole(option: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DatasetError(f"synthetic: {option} must be a whole number from {low} to {high}, not {value!r}")
