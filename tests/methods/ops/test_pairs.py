"""Pairs against loops over the batch, and where there is no pair."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.ops.pairs import distance, mean_of, nearest


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_nearest(features: Tensor, labels: Tensor, same_class: bool) -> list[int | None]:
    """One image after the other; None where no image may be chosen."""
    chosen: list[int | None] = []
    for i, feature in enumerate(features):
        allowed = [j for j in range(len(labels)) if j != i and bool(labels[i] == labels[j]) == same_class]
        chosen.append(min(allowed, key=lambda j: float((feature - features[j]).square().sum().sqrt()), default=None))
    return chosen


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=9), seed=st.integers(0, 2**31))
def test_partners_are_the_nearest_of_the_own_and_of_the_other_classes(labels: list[int], seed: int):
    features, classes = draw(len(labels), 3, seed=seed), torch.tensor(labels)
    for partners, same_class in zip(nearest(features, classes), (True, False), strict=True):
        slow = slow_nearest(features, classes, same_class)
        assert partners.found.tolist() == [j is not None for j in slow]
        assert partners.position.tolist() == [i if j is None else j for i, j in enumerate(slow)]


def test_two_copies_of_an_image_are_partners_and_none_is_its_own():
    features = draw(1, 4).expand(4, 4)
    own, other = nearest(features, torch.tensor([0, 0, 1, 1]))
    assert own.position.tolist() == [1, 0, 3, 2]
    assert other.position.tolist() == [2, 2, 0, 0]


def test_features_far_from_zero_keep_their_order():
    """The squares of such features, from which distances could be computed too, lose the differences."""
    features = 1e4 + torch.tensor([[0.0], [0.02], [0.01], [5.0]])
    own, _ = nearest(features, torch.zeros(4, dtype=torch.int64))
    assert own.position.tolist() == [2, 2, 0, 1]


def test_partners_under_autocast_are_those_of_float32():
    features, labels = draw(12, 5), torch.arange(12) // 3
    with torch.autocast("cpu", torch.bfloat16):
        inside = nearest(features, labels)
    for found, expected in zip(inside, nearest(features, labels), strict=True):
        assert torch.equal(found.position, expected.position)


def test_distances_and_their_gradients():
    a, b = (draw(3, 4, seed=seed).double().requires_grad_() for seed in (0, 1))
    slow = torch.stack([sum((x - y) ** 2 for x, y in zip(a[i], b[i], strict=True)).sqrt() for i in range(3)])
    torch.testing.assert_close(distance(a, b), slow)
    assert torch.autograd.gradcheck(distance, (a, b))


@pytest.mark.parametrize("compiled", [False, True])
def test_distance_of_equal_rows_has_gradient_0(compiled: bool):
    """The slope of a square root at 0 is infinite, and 0 times infinity would be NaN."""
    a, b = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    function = torch.compile(distance, backend="aot_eager", fullgraph=True) if compiled else distance
    found = function(a, b)
    found.sum().backward()
    assert found.tolist() == [0, 0]
    assert a.grad.abs().sum() == b.grad.abs().sum() == 0


@pytest.mark.parametrize("counted", [[True, False, True], [False, False, False]])
def test_the_mean_is_over_what_is_counted_even_if_the_rest_is_not_finite(counted: list[bool]):
    values = torch.tensor([1.0, torch.inf, 4.0], requires_grad=True)
    mean = mean_of(values, torch.tensor(counted))
    mean.backward()
    expected, share = (2.5, 0.5) if any(counted) else (0.0, 0.0)
    assert mean.item() == expected
    assert values.grad.tolist() == [share, 0.0, share]
