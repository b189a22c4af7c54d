"""DCL's region confusion against its loop formula: that orders are true permutations, within range, rightly drawn."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.ops import patch_shuffle

CPU = torch.device("cpu")


def paper_shuffle(line: list, k: float) -> list:
    """Section 3.1: sorts a line by i + r, r uniform in -k .. k."""
    keys = [i + random.uniform(-k, k) for i in range(len(line))]
    return [one for _, one in sorted(zip(keys, line, strict=True))]


def released_shuffle(line: list) -> list:
    """Appends one after the other, and shuffles the last two each time."""
    result: list = []
    for one in line:
        result.append(one)
        last = result[-2:]
        random.shuffle(last)
        result[-2:] = last
    return result


def slow_paper(n: int, k: float) -> list[int]:
    rows = [paper_shuffle([row * n + column for column in range(n)], k) for row in range(n)]
    columns = [paper_shuffle([rows[row][column] for row in range(n)], k) for column in range(n)]
    return [columns[column][row] for row in range(n) for column in range(n)]


def slow_released(n: int) -> list[int]:
    rows = [released_shuffle([row * n + column for column in range(n)]) for row in range(n)]
    return [one for row in released_shuffle(rows) for one in row]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 8), k=st.integers(0, 4), seed=st.integers(0, 2**31))
def test_orders_are_permutations_and_regions_move_less_than_2k(n, k, seed):
    torch.manual_seed(seed)
    for order in patch_shuffle.confuse(5, n, k, CPU).tolist():
        assert sorted(order) == list(range(n * n))
        for place, region in enumerate(order):
            assert abs(place // n - region // n) < max(2 * k, 1)
            assert abs(place % n - region % n) < max(2 * k, 1)


def test_released_orders_are_permutations_and_regions_move_back_by_one_at_most():
    torch.manual_seed(0)
    for order in patch_shuffle.confuse_by_neighbours(50, 7, CPU).tolist():
        assert sorted(order) == list(range(49))
        for place, region in enumerate(order):
            assert place // 7 - region // 7 >= -1
            assert place % 7 - region % 7 >= -1
        rows = [[region // 7 for region in order[start : start + 7]] for start in range(0, 49, 7)]
        assert all(len(set(row)) == 1 for row in rows), "rows move as a whole"


@pytest.mark.parametrize("released", [False, True])
def test_orders_are_distributed_as_the_loops(released):
    """How often each region comes to each place, in as many draws of both."""
    n, k, draws = 4, 2, 6000
    torch.manual_seed(0)
    random.seed(0)
    fast = patch_shuffle.confuse_by_neighbours(draws, n, CPU) if released else patch_shuffle.confuse(draws, n, k, CPU)
    found = Counter(pair for order in fast.tolist() for pair in enumerate(order))
    slow = Counter(pair for _ in range(draws) for pair in enumerate(slow_released(n) if released else slow_paper(n, k)))
    for pair in found | slow:
        deviation = (found[pair] - slow[pair]) / max(found[pair] + slow[pair], 1) ** 0.5
        assert abs(deviation) < 4.5, (pair, found[pair], slow[pair])  # standard deviations, 256 comparisons


def test_each_image_has_its_own_order_and_range_0_leaves_all_in_place():
    torch.manual_seed(0)
    first, second = patch_shuffle.confuse(2, 7, 2, CPU)
    assert not torch.equal(first, second)
    assert torch.equal(patch_shuffle.confuse(2, 7, 0, CPU), torch.arange(49).expand(2, 49))
