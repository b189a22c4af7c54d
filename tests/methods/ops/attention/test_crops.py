"""Draws of maps, regions, boxes, crops and drops against slow, obvious formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from methods.ops.attention import crops

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# Which map


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_the_chosen_map_is_the_winner_of_the_race(seed, count, maps):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(count, maps, 3, 2, generator=generator)
    uniform = torch.rand(count, maps, generator=generator)
    for sample in range(count):
        race = [
            math.sqrt(one.double().mean()) / -math.log(draw)
            for one, draw in zip(attention[sample], uniform[sample].double(), strict=True)
        ]
        chosen = crops.choose_maps(attention, uniform)[sample]
        torch.testing.assert_close(chosen, attention[sample, int(np.argmax(race))])


def test_maps_are_chosen_as_often_as_their_strength_says():
    strength = torch.tensor([0.0, 1.0, 4.0, 25.0])
    attention = strength.view(1, 4, 1, 1).expand(40_000, 4, 2, 2)
    chosen = crops.choose_maps(attention, torch.rand(40_000, 4))[:, 0, 0]
    shares = torch.stack([(chosen == value).float().mean() for value in strength])
    torch.testing.assert_close(shares, strength.sqrt() / 8, atol=0.01, rtol=0)
    even = crops.choose_maps(attention, torch.rand(40_000, 4), weighted=False)[:, 0, 0]
    shares = torch.stack([(even == value).float().mean() for value in strength])
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.01, rtol=0)


# Boxes, crops, drops


def slow_place(pixel: int, pixels: int, cells: int, aligned: bool) -> float:
    """Where among the cells a pixel lies: a cell covers its stride and edge cells are carried outwards, or, `aligned`,
    the centres of the outer cells are on those of the outer pixels."""
    if aligned:
        return pixel * (cells - 1) / (pixels - 1)
    return min(max((pixel + 0.5) * cells / pixels - 0.5, 0), cells - 1)


def slow_upsample(one: np.ndarray, height: int, width: int, aligned: bool = False) -> np.ndarray:
    """Bilinear."""
    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = slow_place(row, height, one.shape[0], aligned)
            x = slow_place(column, width, one.shape[1], aligned)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, one.shape[0] - 1), min(x0 + 1, one.shape[1] - 1)
            upper = one[y0, x0] * (x0 + 1 - x) + one[y0, x1] * (x - x0)
            lower = one[y1, x0] * (x0 + 1 - x) + one[y1, x1] * (x - x0)
            out[row, column] = upper * (y0 + 1 - y) + lower * (y - y0)
    return out


@settings(max_examples=25, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, st.integers(6, 14), st.integers(6, 14))
def test_salient_regions_and_their_boxes(seed, count, rows, columns, height, width):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(count, rows, columns, generator=generator)
    threshold = torch.rand(count, generator=generator)
    region = crops.salient(maps, (height, width), threshold)
    boxes = crops.bounding_boxes(region, 0.1)
    for sample in range(count):
        slow = slow_upsample(maps[sample].double().numpy(), height, width)
        distance = slow - float(threshold[sample]) * slow.max()
        clear = np.abs(distance) > 1e-5
        assert (region[sample].numpy() == (distance >= 0))[clear].all()
        ys, xs = np.nonzero(region[sample].numpy())
        expected = [ys.min() / height - 0.1, xs.min() / width - 0.1, ys.max() / height + 0.1, xs.max() / width + 0.1]
        np.testing.assert_allclose(boxes[sample].numpy(), expected, atol=1e-6)
    inside = crops.bounding_boxes(region, 0.1, clamp=True)
    torch.testing.assert_close(inside, boxes.clamp(0, 1))


@settings(max_examples=25, deadline=None)
@given(SEEDS, SIZES, SIZES, st.integers(6, 14), st.integers(6, 14), st.booleans())
def test_maps_with_aligned_corners_against_a_share_of_their_highest_cell(seed, rows, columns, height, width, aligned):
    """As in GuYuc's code: no pixel need be as high as the cell, since few pixels fall on a cell's centre."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, rows, columns, generator=generator)
    threshold = 0.6 * torch.rand(2, generator=generator)
    region = crops.salient(maps, (height, width), threshold, aligned, "cells")
    for sample in range(2):
        cells = maps[sample].double().numpy()
        slow = slow_upsample(cells, height, width, aligned)
        lowest = min(float(threshold[sample]) * cells.max(), slow.max())
        clear = np.abs(slow - lowest) > 1e-5
        assert (region[sample].numpy() == (slow >= lowest))[clear].all()


def test_a_region_is_never_empty():
    maps = torch.tensor([[[0.0, 1.0, 0.0]] * 3])  # resized to 4 columns, its middle falls between two pixels
    for maximum_of in ("resized", "cells"):
        assert crops.salient(maps, (4, 4), 1.0, False, maximum_of).any()


def literal_crop(image: Tensor, region: Tensor, padding: float, bounds: crops.Bounds) -> Tensor:
    """Cuts out whole pixels and enlarges them: GuYuc's code rounds the padded bounds, wvinzh's the padding."""
    sides = []
    for axis, length in enumerate(region.shape):
        places = region.nonzero()[:, axis].tolist()
        if bounds == "pixels":
            start, end = int(min(places) - padding * length), int(max(places) + padding * length)
        else:
            start, end = min(places) - int(padding * length), max(places) + int(padding * length)
        start, end = max(start, 0), min(end, length)
        sides.append(slice(start, max(end, start + 1)))  # theirs fails where nothing is left
    return F.interpolate(image[None, :, sides[0], sides[1]], region.shape, mode="bilinear", align_corners=True)[0]


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.integers(4, 12),
    st.integers(4, 12),
    st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    st.sampled_from(["pixels", "floored_padding"]),
)
def test_boxes_of_whole_pixels_are_cut_out_as_released(seed, height, width, padding, bounds):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, height, width, generator=generator)
    region = torch.rand(3, height, width, generator=generator) < 0.1
    region[:, height // 2, width // 3] = True
    fast = crops.crop(images, crops.bounding_boxes(region, padding, bounds=bounds))
    for sample in range(3):
        slow = literal_crop(images[sample], region[sample], padding, bounds)
        torch.testing.assert_close(fast[sample], slow, atol=1e-4, rtol=1e-4)


def slow_crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """TensorFlow's crop_and_resize, but fading to 0 over the first pixel outside."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = image
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y = (box[0] + (box[2] - box[0]) * row / (height - 1)) * (height - 1) + 1
            x = (box[1] + (box[3] - box[1]) * column / (width - 1)) * (width - 1) + 1
            if not (0 <= y < height + 1 and 0 <= x < width + 1):
                continue
            y0, x0 = int(y), int(x)
            for yy, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
                for xx, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
                    out[:, row, column] += wy * wx * padded[:, yy, xx]
    return out


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(4, 10), st.integers(4, 10))
def test_crops_are_the_boxes_enlarged(seed, count, height, width):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator)
    corner, extent = torch.rand(2, count, 2, generator=generator)
    boxes = torch.cat([corner - 0.3, corner + extent], dim=1)
    fast = crops.crop(images, boxes)
    for sample in range(count):
        slow = slow_crop(images[sample].double().numpy(), boxes[sample].double().numpy())
        np.testing.assert_allclose(fast[sample].numpy(), slow, atol=2e-4)


def test_a_box_around_everything_changes_nothing_and_outside_is_zero():
    images = torch.randn(2, 3, 6, 9)
    torch.testing.assert_close(crops.crop(images, torch.tensor([[0.0, 0, 1, 1]]).repeat(2, 1)), images)
    assert crops.crop(images, torch.tensor([[1.5, 1.5, 2, 2]]).repeat(2, 1)).abs().max() == 0
    assert crops.crop(images.bfloat16(), torch.tensor([[0.0, 0, 1, 1]]).repeat(2, 1)).dtype == torch.bfloat16


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, st.sampled_from([0.2, 0.5, 0.9]))
def test_a_dropped_region_is_zero_and_the_rest_untouched(seed, count, height, width, share):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator)
    region = torch.rand(count, height, width, generator=generator) < share
    dropped = crops.drop(images, region)
    for sample in range(count):
        everything = bool(region[sample].all())  # a map that says nothing drops nothing
        for row in range(height):
            for column in range(width):
                gone = bool(region[sample, row, column]) and not everything
                expected = torch.zeros(3) if gone else images[sample, :, row, column]
                assert torch.equal(dropped[sample, :, row, column], expected)


@pytest.mark.parametrize(("lowest", "kept"), [(0.0, False), (0.29, False), (0.31, True), (1.0, True)])
def test_a_map_that_nowhere_falls_below_the_threshold_drops_nothing(lowest, kept):
    """Whatever its shape: with min ≥ θ·max its region is the whole image, which says nothing about the part."""
    images, maps = torch.ones(1, 3, 8, 8), torch.linspace(lowest, 1, 16).view(1, 4, 4)
    dropped = crops.drop(images, crops.salient(maps, (8, 8), 0.3))
    assert torch.equal(dropped, images) == kept
