"""Speed of DCL's region confusion and of its alignment. Its step is measured with those of all methods."""

from __future__ import annotations

import random

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.dcl.alignment import RegionAlignment, matched_by_brightness
from methods.ops.jigsaw import permute_blocks
from methods.ops.patch_shuffle import confuse
from tests.helpers.speed import CUDA, DEVICE, compare

SIZE, BATCH, CHANNELS, N, RANGE = (448, 16, 2048, 7, 2) if CUDA else (224, 4, 512, 7, 2)


def region_by_region(images: Tensor) -> Tensor:
    """Each image's regions sorted along its rows and then its columns, and copied one after the other."""
    side = images.shape[2] // N
    result = torch.empty_like(images)
    for number, image in enumerate(images):
        grid = [[(row, column) for column in range(N)] for row in range(N)]
        grid = [shuffled(row) for row in grid]
        columns = [shuffled([grid[row][column] for row in range(N)]) for column in range(N)]
        for to_column, regions in enumerate(columns):
            for to_row, (row, column) in enumerate(regions):
                read = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
                place = result[number, :, to_row * side : (to_row + 1) * side]
                place[:, :, to_column * side : (to_column + 1) * side] = read
    return result


def shuffled(line: list[tuple[int, int]]) -> list[tuple[int, int]]:
    keys = sorted((i + random.uniform(-RANGE, RANGE), one) for i, one in enumerate(line))
    return [one for _, one in keys]


@pytest.mark.benchmark(group="dcl region confusion")
def test_region_confusion(benchmark: BenchmarkFixture) -> None:
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE).contiguous(memory_format=torch.channels_last)

    def ours() -> Tensor:
        return permute_blocks(images, confuse(BATCH, N, RANGE, images.device), N)

    ways = {"ours": ours, "region by region": lambda: region_by_region(images)}
    pixels = images.flatten(2).sort().values
    assert all(torch.equal(way().flatten(2).sort().values, pixels) for way in ways.values())
    compare(benchmark, ways)


@pytest.mark.benchmark(group="dcl where regions came from")
def test_sources(benchmark: BenchmarkFixture) -> None:
    """What the true permutation costs, against matching regions by their brightness as the authors' code does."""
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE)
    order = confuse(BATCH, N, RANGE, images.device)
    destroyed = permute_blocks(images, order, N)
    assert torch.equal(matched_by_brightness(images, destroyed, N), order)
    ways = {
        "ours": lambda: confuse(BATCH, N, RANGE, images.device),
        "by brightness": lambda: matched_by_brightness(images, destroyed, N),
    }
    compare(benchmark, ways)


@pytest.mark.benchmark(group="dcl alignment, forward and backward")
def test_alignment(benchmark: BenchmarkFixture) -> None:
    align = RegionAlignment(CHANNELS, N, "coordinates").to(DEVICE)
    features = torch.rand(2 * BATCH, CHANNELS, 2 * N, 2 * N, device=DEVICE, requires_grad=True)
    sources = confuse(2 * BATCH, N, RANGE, features.device)

    def one_by_one() -> Tensor:
        """The formula, region by region."""
        located = align.locate(features).relu()
        total = torch.zeros((), device=DEVICE)
        for image, row in enumerate(sources.tolist()):
            for place, source in enumerate(row):
                top, left = 2 * (place // N), 2 * (place % N)
                found = located[image, :, top : top + 2, left : left + 2].mean(dim=(1, 2))
                total = total + (found[0] - (source // N + 1) / N).abs() + (found[1] - (source % N + 1) / N).abs()
        return total / sources.numel()

    forward = {"ours": lambda: align(features, sources), "one by one": one_by_one}
    torch.testing.assert_close(forward["ours"](), one_by_one(), rtol=1e-4, atol=1e-5)
    compare(benchmark, {name: lambda way=way: way().backward() for name, way in forward.items()}, forward)
