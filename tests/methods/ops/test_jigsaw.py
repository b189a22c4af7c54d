"""Jigsaw puzzles against block-by-block copies, and the distribution of their orders."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.ops import jigsaw

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**31)


def slow_permutation(image: Tensor, order: list[int], n: int) -> Tensor:
    """Pixel by pixel: `(C, H, W)` -> `(C, H, W)`."""
    height, width = image.shape[1:]
    tops, lefts = ([i * side // n for i in range(n + 1)] for side in (height, width))
    result = torch.full_like(image, torch.nan)
    for place, block in enumerate(order):
        top, bottom = tops[place // n], tops[place // n + 1]
        left, right = lefts[place % n], lefts[place % n + 1]
        for row in range(top, bottom):
            for column in range(left, right):
                from_row = min(tops[block // n] + row - top, tops[block // n + 1] - 1)
                from_column = min(lefts[block % n] + column - left, lefts[block % n + 1] - 1)
                result[:, row, column] = image[:, from_row, from_column]
    return result


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 4),
    height=st.integers(4, 11),
    width=st.integers(4, 11),
    each=st.booleans(),
    seed=SEEDS,
)
def test_blocks_come_to_their_places(n, height, width, each, seed):
    torch.manual_seed(seed)
    images = torch.randn(3, 2, height, width).contiguous(memory_format=torch.channels_last)
    order = jigsaw.random_order(n, CPU, 3 if each else None)
    orders = order.tolist() if each else [order.tolist()] * 3
    slow = torch.stack([slow_permutation(image, one, n) for image, one in zip(images, orders, strict=True)])
    assert torch.equal(jigsaw.permute_blocks(images, order, n), slow)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_where_n_divides_the_sides_every_pixel_is_kept(n):
    images = torch.randn(2, 3, 16, 24)
    shuffled = jigsaw.permute_blocks(images, jigsaw.random_order(n, CPU), n)
    assert torch.equal(shuffled.flatten(2).sort().values, images.flatten(2).sort().values)


def test_an_order_and_its_inverse_give_the_images_back():
    images, order = torch.randn(4, 3, 15, 15), jigsaw.random_order(5, CPU, 4)
    there = jigsaw.permute_blocks(images, order, 5)
    assert not torch.equal(there, images)
    assert torch.equal(jigsaw.permute_blocks(there, order.argsort(dim=1), 5), images)


def test_more_blocks_than_pixels_are_refused():
    with pytest.raises(ValueError, match="8 x 8 blocks"):
        jigsaw.permute_blocks(torch.zeros(1, 3, 7, 9), jigsaw.random_order(8, CPU), 8)


def cycle_length(order: tuple[int, ...]) -> int:
    """Places that a block passes until it comes back to the first."""
    place, length = order[0], 1
    while place != 0:
        place, length = order[place], length + 1
    return length


@pytest.mark.parametrize("cyclic", [False, True])
def test_every_order_is_equally_likely(cyclic):
    torch.manual_seed(0)
    draws = 12_000
    counts = Counter(map(tuple, jigsaw.random_order(2, CPU, draws, cyclic).tolist()))
    possible = [order for order in permutations(range(4)) if not cyclic or cycle_length(order) == 4]
    assert set(counts) == set(possible)
    expected = draws / len(possible)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < {24: 49.7, 6: 20.5}[len(possible)]  # the 0.1 % bounds for 23 and 5 degrees of freedom


def test_each_call_draws_anew_and_one_order_serves_all_images_or_each_has_its_own():
    torch.manual_seed(0)
    assert not torch.equal(jigsaw.random_order(8, CPU), jigsaw.random_order(8, CPU))
    first, second = jigsaw.random_order(8, CPU, 2)
    assert not torch.equal(first, second)
