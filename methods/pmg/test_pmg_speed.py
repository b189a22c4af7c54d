"""Speed of PMG's puzzles against the authors' loop over blocks. Its step is measured with those of all methods."""

from __future__ import annotations

import random

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.ops.jigsaw import permute_blocks, random_order
from tests.helpers.speed import CUDA, DEVICE, compare

SIZE, BATCH = (448, 16) if CUDA else (160, 8)


def block_by_block(images: Tensor, n: int) -> Tensor:
    """Copies one block after the other."""
    side = images.shape[2] // n
    order = list(range(n * n))
    random.shuffle(order)
    result = torch.empty_like(images)
    for place, block in enumerate(order):
        row, column, to_row, to_column = (side * index for index in (*divmod(block, n), *divmod(place, n)))
        read = images[:, :, row : row + side, column : column + side]
        result[:, :, to_row : to_row + side, to_column : to_column + side] = read
    return result


@pytest.mark.benchmark(group="pmg puzzle")
@pytest.mark.parametrize("n", [8, 2])
def test_puzzle(benchmark: BenchmarkFixture, n: int) -> None:
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE).contiguous(memory_format=torch.channels_last)
    ways = {
        "ours": lambda: permute_blocks(images, random_order(n, images.device), n),
        "ours, one order an image": lambda: permute_blocks(images, random_order(n, images.device, BATCH), n),
        "block by block": lambda: block_by_block(images, n),
    }
    pixels = images.flatten(2).sort().values
    assert all(torch.equal(way().flatten(2).sort().values, pixels) for way in ways.values())
    compare(benchmark, ways)
