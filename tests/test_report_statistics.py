"""The statistics of reports against slow, obvious formulas, worked examples and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports.statistics import accuracy_draws, difference_interval, holm, mcnemar, over_seeds, pooled_p


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (3, 9), (9, 3), (5, 5), (0, 20), (11, 30)])
def test_mcnemar_is_the_binomial_tail_counted_out(only_first: int, only_second: int):
    first = np.array([True] * only_first + [False] * only_second + [True, False] * 4)
    second = np.array([False] * only_first + [True] * only_second + [True, False] * 4)
    n, few = only_first + only_second, min(only_first, only_second)
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)
    assert mcnemar(first, second) == pytest.approx(expected)


def test_mcnemar_of_models_that_never_differ_is_one():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == 1.0


def test_holm_agrees_with_a_worked_example():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_treats_ties_alike_and_stops_at_one():
    assert holm([0.6, 0.01, 0.6, 0.01]) == pytest.approx([1, 0.04, 1, 0.04])
    assert holm([]) == []


def test_pooled_p_keeps_one_seed_and_needs_every_seed_to_speak():
    assert pooled_p([0.03]) == 0.03
    assert pooled_p([0.01, 0.03]) == pytest.approx(0.04)
    assert pooled_p([0.001, 0.9]) == pytest.approx(0.901)
    with pytest.raises(ValueError, match="no p values"):
        pooled_p([])


def test_pooled_p_is_valid_for_seeds_that_depend_on_each_other():
    random = np.random.default_rng(0)
    shared = random.random(4000)
    mixed = [[p, p if same else q] for p, q, same in zip(shared, 1 - shared, random.random(4000) < 0.5, strict=True)]
    assert np.mean([pooled_p(pair) <= 0.05 for pair in mixed]) <= 0.055


def test_t_interval_covers_the_truth_at_its_rate():
    draws = np.random.default_rng(0).normal(80, 1, (3000, 3))
    found = [over_seeds(row.tolist()) for row in draws]
    covered = np.mean([one.low <= 80 <= one.high for one in found])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=0.015)


def test_no_seed_and_one_seed_make_up_nothing():
    assert over_seeds([]).mean is None
    one = over_seeds([0.8])
    assert (one.n, one.mean, one.sd, one.low, one.high) == (1, 0.8, None, None, None)


def interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    return difference_interval(accuracy_draws(first), accuracy_draws(second))


def test_bootstrap_agrees_with_drawing_images_and_seeds_one_by_one():
    random = np.random.default_rng(0)
    first, second = random.random((300, 3)) < 0.8, random.random((300, 3)) < 0.7
    differences = first.astype(int) - second.astype(int)
    means = []
    for _ in range(4000):
        images, seeds = random.integers(0, 300, 300), random.integers(0, 3, 3)
        means.append(differences[np.ix_(images, seeds)].mean())
    assert interval(first, second) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.005)


def test_bootstrap_covers_the_truth_at_least_at_its_rate():
    hits = 0
    for trial in range(150):
        random = np.random.default_rng(trial)
        hard = random.random((500, 1))
        # A seed shifts the accuracy of its own model; images are as hard for one method as for the other.
        first, second = (
            random.random((500, 3)) < base + 0.4 * hard + random.normal(0, 0.01, (1, 3)) for base in (0.5, 0.45)
        )
        low, high = interval(first, second)
        hits += low <= 0.05 <= high
    assert hits / 150 >= 0.93


def test_bootstrap_of_a_constant_difference_is_that_difference():
    right, wrong = np.ones((20, 3), bool), np.zeros((20, 3), bool)
    for first, second, difference in ((right, wrong, 1), (wrong, right, -1), (right, right, 0)):
        assert interval(first, second) == pytest.approx((difference, difference), abs=1e-6)
