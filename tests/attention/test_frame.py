"""Annotations are transformed like the pixels they annotate, however the images were stored and cropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.attention import measures
from benchmarks.attention.attention_maps import AttentionMaps, centre_prior, compute_attention
from benchmarks.attention.frame import TOLERANCE, Frame, framed, original_sizes
from datasets.interface import Dataset, PartPoints
from datasets.loading.feed import Feed
from datasets.loading.sources import open_source
from datasets.loading.store import ResizeRule
from methods.interface import Method
from results.augmentation import InputScaling
from tests.helpers.small_training import small_run

SIZE = 64
SIZES = ((180, 240), (240, 160), (200, 200), (150, 300))
"""Height, width."""


class Squares(Dataset):
    """A white square on black; the square is the object, and its middle the only visible part."""

    title = "squares"

    def __init__(self, count: int = 24) -> None:
        self.name, self.classes = "squares", ("a",)
        self.paths = tuple(f"{number}.png" for number in range(count))
        self.labels = np.zeros(count, dtype=np.int64)
        self.is_train = np.ones(count, dtype=bool)
        random = np.random.default_rng(0)
        self.sizes = [SIZES[number % len(SIZES)] for number in range(count)]
        shortest = [min(size) for size in self.sizes]
        sides = random.integers(24, 40, count)
        # Within the central square, so that a centre crop contains all of it.
        corners = [
            [(long - short) // 2 + random.integers(20, short - 60) for long in (width, height)]
            for (height, width), short in zip(self.sizes, shortest, strict=True)
        ]
        self.boxes = np.c_[np.array(corners), sides, sides].astype(np.float32)
        middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        self.parts = PartPoints(
            ("hidden", "middle"),
            np.stack([np.full_like(middle, 5), middle], axis=1),
            np.array([[False, True]] * count),
        )

    def image(self, index: int) -> NDArray[np.uint8]:
        picture = np.zeros((*self.sizes[index], 3), dtype=np.uint8)
        assert self.boxes is not None
        x, y, width, height = self.boxes[index].astype(int)
        picture[y : y + height, x : x + width] = 255
        return picture

    @property
    def content_key(self) -> dict[str, Any]:
        return {"squares": 1}


SCALING = InputScaling(mean=(0.4, 0.5, 0.6), std=(0.5, 0.5, 0.5))


class SeesWhite(Method):
    """Attends to bright pixels: its true location is known."""

    def forward(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 1)

    def attention(self, images: Tensor) -> Tensor:
        return (images[:, :1] * SCALING.std[0] + SCALING.mean[0]).clamp_min(0)


STORES: list[tuple[int, ResizeRule]] = [(SIZE, "squash"), (80, "squash"), (SIZE, "short_side"), (81, "short_side")]


@pytest.fixture(params=STORES, ids=lambda store: f"{store[1]} {store[0]}")
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[AttentionMaps, Frame]:
    """The attention of a method that sees the squares, and their annotations."""
    stored_size, rule = request.param
    dataset, rows = Squares(), np.arange(24)
    source = open_source(dataset, stored_size, rule, torch.device("cpu"), cache=tmp_path)
    feed = Feed(source, rows, dataset.labels, 7, shuffle=False)
    run = small_run(image_size=SIZE, stored_size=SIZE, scaling=SCALING.model_dump())
    attention = compute_attention(SeesWhite(), feed, run)
    assert attention is not None
    return attention, framed(dataset, rows, original_sizes(dataset, rows.tolist()), attention.stored, SIZE)


def test_perfect_attention_scores_perfectly_through_every_resize_and_crop(scene: tuple[AttentionMaps, Frame]):
    attention, frame = scene
    found = measures.measure(attention, frame, threshold=0.5, same_maps=True)
    for name in ("peak_on_part", "maps_on_parts", "own_part", "peak_in_box"):
        assert found[name].tolist() == [1.0] * len(attention), name
    assert found["in_box"].min() > 0.85  # resizing blurs the edge of a square of 8 to 17 px
    assert found["crop_iou"].min() > 0.8


def test_boxes_and_points_are_where_the_pixels_are(scene: tuple[AttentionMaps, Frame]):
    attention, frame = scene
    assert frame.boxes is not None
    assert frame.parts is not None
    weights = measures.enlarged(attention.mean, SIZE)
    place = torch.arange(SIZE) + 0.5
    total = weights.sum(dim=(1, 2))
    middle = torch.stack([weights.sum(dim=1) @ place / total, weights.sum(dim=2) @ place / total], dim=1)
    assert (middle - frame.parts[:, 1]).abs().max() < 0.1
    assert ((frame.boxes[:, :2] + frame.boxes[:, 2:]) / 2 - frame.parts[:, 1]).abs().max() < 0.1


def test_the_centre_prior_scores_lower_than_attention(scene: tuple[AttentionMaps, Frame]):
    attention, frame = scene
    prior = measures.measure(centre_prior(attention), frame, threshold=0.5, same_maps=True)
    scores = measures.measure(attention, frame, threshold=0.5, same_maps=True)
    for name, value in prior.items():
        assert value.mean() < 0.7 * scores[name].mean(), name


def test_hidden_or_cropped_parts_are_not_visible_and_boxes_are_clipped():
    dataset = Squares(2)
    dataset.boxes = np.array([[0, 0, 240, 180], [0, 230, 10, 10]], dtype=np.float32)
    dataset.parts = PartPoints(
        ("left", "middle"),
        np.array([[[2, 90], [120, 90]]] * 2, dtype=np.float32),
        np.array([[True, True], [True, False]]),
    )
    originals = np.array([[180, 240], [240, 160]])
    stored = torch.tensor([[60, 80], [90, 60]])  # as their short sides would become 60
    frame = framed(dataset, np.arange(2), originals, stored, 60)
    assert frame.visible is not None
    assert frame.boxes is not None
    assert frame.visible.tolist() == [[False, True], [True, False]]
    assert frame.boxes[0].tolist() == [0, 0, 60, 60]  # 80 px wide, cut on both sides
    sides = frame.boxes[1, 2:] - frame.boxes[1, :2]
    assert sides.prod() == 0  # at the lower edge, which is cut away
    attention = AttentionMaps(torch.ones(2, 3, 3), torch.full((2, 1, 2), 0.5), torch.ones(2, 1), stored)
    found = measures.measure(attention, frame, threshold=0.5, same_maps=False)
    assert found["in_box"].isnan().tolist() == [False, True]


def test_the_tolerance_is_a_circle_in_the_original_image():
    dataset = Squares(1)
    dataset.boxes = np.array([[10, 10, 100, 60]], dtype=np.float32)
    frame = framed(dataset, np.arange(1), np.array([[180, 240]]), torch.tensor([[60, 60]]), 60)
    assert frame.radii[0].tolist() == pytest.approx([TOLERANCE * 100 * 60 / 240, TOLERANCE * 100 * 60 / 180])


def test_without_boxes_the_tolerance_is_of_the_image():
    dataset = Squares(1)
    dataset.boxes = None
    frame = framed(dataset, np.arange(1), np.array([[180, 240]]), torch.tensor([[60, 80]]), 60)
    assert frame.boxes is None
    assert frame.radii[0].tolist() == pytest.approx([TOLERANCE * 80] * 2)
