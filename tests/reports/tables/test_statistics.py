"""The statistics of reports against slow, obvious formulas, worked examples and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports.statistics import Interval, accuracy_draws, bootstrap, holm, mcnemar, over_seeds, pooled_p


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (3, 9), (9, 3), (5, 5), (0, 20), (11, 30)])
def test_mcnemar_is_the_binomial_tail_counted_out(only_first: int, only_second: int):
    first = np.array([True] * only_first + [False] * only_second + [True, False] * 4)
    second = np.array([False] * only_first + [True] * only_second + [True, False] * 4)
    n, few = only_first + only_second, min(only_first, only_second)
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)
    assert mcnemar(first, second) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_agrees_with_statsmodels(seed: int):
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    random = np.random.default_rng(seed)
    first, second = random.random(200) < 0.8, random.random(200) < 0.75
    counts = [[np.sum((first == a) & (second == b)) for b in (True, False)] for a in (True, False)]
    assert mcnemar(first, second) == pytest.approx(contingency_tables.mcnemar(counts, exact=True).pvalue)


def test_mcnemar_of_models_that_never_differ_is_one():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == 1.0


def test_holm_agrees_with_a_worked_example():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(0).random(20) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_holm_treats_ties_alike_and_stops_at_one():
    assert holm([0.6, 0.01, 0.6, 0.01]) == pytest.approx([1, 0.04, 1, 0.04])
    assert holm([]) == []


def test_pooled_p_keeps_one_seed_and_needs_every_seed_to_speak():
    assert pooled_p([0.03], [1]) == 0.03
    assert pooled_p([0.01, 0.03], [1, 2]) == pytest.approx(0.04)
    assert pooled_p([0.001, 0.9], [1, 1]) == pytest.approx(0.901)
    with pytest.raises(ValueError, match="no p values"):
        pooled_p([], [])


def test_seeds_that_contradict_each_other_show_nothing():
    assert pooled_p([0.001, 0.001], [5, -5]) == 1
    assert pooled_p([0.001, 0.001], [5, -4]) == 1
    assert pooled_p([0.001, 0.001], [-5, -4]) == pytest.approx(0.002)


def test_pooled_p_is_valid_for_seeds_that_depend_on_each_other():
    random = np.random.default_rng(0)
    shared = random.random(4000)
    mixed = [[p, p if same else q] for p, q, same in zip(shared, 1 - shared, random.random(4000) < 0.5, strict=True)]
    assert np.mean([pooled_p(pair, [1, 1]) <= 0.05 for pair in mixed]) <= 0.055


def test_t_interval_covers_the_truth_at_its_rate():
    draws = np.random.default_rng(0).normal(80, 1, (3000, 3))
    found = [over_seeds(row.tolist()) for row in draws]
    covered = np.mean([one.low <= 80 <= one.high for one in found])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=0.015)


def test_no_seed_and_one_seed_make_up_nothing():
    assert over_seeds([]).mean is None
    one = over_seeds([0.8])
    assert (one.n, one.mean, one.sd, one.low, one.high) == (1, 0.8, None, None, None)


def difference(first: np.ndarray, second: np.ndarray) -> Interval | None:
    """Of the accuracies of two methods on the same images, `(N, S)` each."""
    return bootstrap(first.mean(axis=0) - second.mean(axis=0), accuracy_draws(first) - accuracy_draws(second))


def answers(trial: int, images: int, seeds: int, spread: float, method: int = 0, shift: float = 0.0) -> np.ndarray:
    """`(images, seeds)`, right at `0.7 + shift` on average. Most images are hard or easy, and so for every method of
    the trial; a seed shifts its own model."""
    hard = np.random.default_rng(trial).beta(0.6, 0.2, (images, 1))
    random = np.random.default_rng([trial, method])
    return random.random((images, seeds)) < 0.1 + 0.8 * hard + shift + random.normal(0, spread, (1, seeds))


def test_bootstrap_of_one_seed_agrees_with_drawing_images_one_by_one():
    right = answers(0, 300, 1, 0)
    random = np.random.default_rng(0)
    means = [right[random.integers(0, 300, 300)].mean() for _ in range(4000)]
    found = bootstrap(right.mean(axis=0), accuracy_draws(right))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.006)


@pytest.mark.parametrize(
    ("images", "seeds", "spread"), [(400, 2, 0.0), (400, 2, 0.02), (400, 3, 0.02), (1500, 2, 0.01), (1500, 5, 0.02)]
)
def test_bootstrap_covers_the_true_accuracy_at_its_rate(images: int, seeds: int, spread: float):
    hits = 0
    for trial in range(300):
        right = answers(trial, images, seeds, spread)
        found = bootstrap(right.mean(axis=0), accuracy_draws(right))
        hits += found is not None and found.low <= 0.7 <= found.high
    # 300 trials: a standard error of 1.3 points.
    assert 0.92 <= hits / 300 <= 0.995


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.01), (3, 0.02)])
def test_bootstrap_covers_the_true_difference_and_rejects_none_at_its_rate(seeds: int, spread: float):
    hits, rejections = 0, 0
    for trial in range(300):
        first, second, third = (answers(trial, 500, seeds, spread, method, 0.05 * (method == 0)) for method in range(3))
        apart, alike = difference(first, second), difference(second, third)
        assert apart is not None
        assert alike is not None
        hits += apart.low <= 0.05 <= apart.high
        rejections += alike.p < 0.05
    assert 0.92 <= hits / 300 <= 0.995
    assert rejections / 300 <= 0.08


def test_student_over_seeds_misses_the_true_accuracy_since_it_knows_no_other_images():
    hits = 0
    for trial in range(200):
        summary = over_seeds(answers(trial, 400, 3, 0.005).mean(axis=0).tolist())
        hits += summary.low <= 0.7 <= summary.high  # type: ignore[operator]
    assert hits / 200 < 0.9


def test_two_seeds_say_less_than_five_that_scatter_as_much():
    two, five = (
        np.column_stack([np.arange(1000) % 100 < percent for percent in percents])
        for percents in ([65, 75], [65, 75, 65, 75, 70])
    )
    narrow, wide = (bootstrap(some.mean(axis=0), accuracy_draws(some)) for some in (five, two))
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_where_nothing_varies_there_is_no_interval_rather_than_a_zero_one():
    right, wrong = np.ones((20, 3), bool), np.zeros((20, 3), bool)
    for first, second in ((right, wrong), (right, right)):
        assert difference(first, second) is None
    assert bootstrap(right.mean(axis=0), accuracy_draws(right)) is None


def test_p_and_interval_speak_alike():
    shifts = np.linspace(0, 0.08, 9)
    found = [difference(answers(1, 800, 3, 0.005, 0, shift), answers(1, 800, 3, 0.005, 1)) for shift in shifts]
    for one in found:
        assert one is not None
        if not 0.03 < one.p < 0.07:
            assert (one.p < 0.05) == (not one.low <= 0 <= one.high)
    assert {one.p < 0.05 for one in found if one} == {True, False}
