"""Tests of ranks over datasets against slow, obvious formulas, published tables and scipy."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy import stats

from reports.rank_tests import friedman, nemenyi, rank_test, runs_alike, wilcoxon


def test_average_ranks_are_those_of_scipy_with_ties():
    random = np.random.default_rng(0)
    accuracies = random.integers(0, 4, (9, 5)).astype(float)
    expected = np.mean([stats.rankdata(-row) for row in accuracies], axis=0)
    assert rank_test(accuracies).average == pytest.approx(expected)


@pytest.mark.parametrize(
    "ranks", [[[1, 2, 3]] * 4, [[1, 2], [1, 2], [1, 2], [1, 2]], [[1, 2, 3], [1, 3, 2], [1, 2, 3], [1.5, 1.5, 3]]]
)
def test_friedman_counts_the_orders_that_are_as_extreme(ranks: list[list[float]]):
    table = np.array(ranks)
    observed = sum(column.sum() ** 2 for column in table.T)
    orders = list(product(*(set(permutations(row)) for row in ranks)))
    spreads = [sum(column.sum() ** 2 for column in np.array(order).T) for order in orders]
    expected = np.mean([spread >= observed - 1e-9 for spread in spreads])
    assert friedman(table) == pytest.approx(expected, abs=0.012)


def test_friedman_is_that_of_scipy_on_many_datasets():
    accuracies = np.random.default_rng(3).normal(size=(60, 4)) + np.array([0, 0, 0.2, 0.45])
    ranks = np.array([stats.rankdata(-row) for row in accuracies])
    assert friedman(ranks) == pytest.approx(stats.friedmanchisquare(*accuracies.T).pvalue, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_wilcoxon_is_that_of_scipy_without_ties(seed: int):
    differences = np.random.default_rng(seed).normal(0.5, 1, 9)
    assert wilcoxon(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_counts_the_signs_with_ties_and_leaves_zeros_out():
    differences = np.array([0.5, 0.5, -0.2, 0.0, 1.0, 0.2, 0.9])
    known = differences[differences != 0]
    ranks = stats.rankdata(abs(known))
    middle = ranks.sum() / 2
    observed = abs(ranks[known > 0].sum() - middle)
    sums = [ranks[np.array(signs)].sum() for signs in product([True, False], repeat=len(known))]
    assert wilcoxon(differences) == pytest.approx(np.mean([abs(one - middle) >= observed - 1e-9 for one in sums]))
    assert wilcoxon(np.zeros(5)) == 1.0
    assert wilcoxon(np.ones(4)) == pytest.approx(0.125), "the least on four datasets"


def test_nemenyi_has_the_critical_values_of_demsar():
    quantiles = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]  # his Table 5, for 2 to 10 classifiers
    for methods, quantile in enumerate(quantiles, 2):
        assert nemenyi(6, methods) == pytest.approx(quantile * (methods * (methods + 1) / 36) ** 0.5, abs=0.002)


def test_pairs_are_tested_by_nemenyi_until_wilcoxon_could_find_a_difference():
    clear = np.arange(3.0) + np.arange(4.0)[:, None]
    few = rank_test(clear)
    assert (few.pairs, few.critical) == ("Nemenyi", pytest.approx(1.657, abs=0.001))
    assert few.apart.tolist() == [[False, False, True], [False, False, False], [True, False, False]]
    many = rank_test(np.arange(3.0) + np.arange(7.0)[:, None])
    assert (many.pairs, many.critical) == ("Wilcoxon-Holm", None)
    assert many.apart.sum() == 6, "3 pairs, each with p = 2 / 2^7, corrected to 0.047"


def test_no_pair_differs_where_the_methods_as_a_whole_do_not():
    alike = rank_test(np.array([[3.0, 2, 1], [1, 2, 3], [3, 1, 2], [1, 3, 2]]))
    assert alike.p > 0.5
    assert not alike.apart.any()


def test_one_of_twenty_noisy_tables_is_rejected_at_the_most():
    random = np.random.default_rng(1)
    rejected = sum(rank_test(random.normal(size=(5, 3))).apart.any() for _ in range(200))
    assert rejected <= 17, "of 10 that are expected at 5 %"


@pytest.mark.parametrize("seed", range(5))
def test_runs_are_the_longest_without_a_pair_apart(seed: int):
    apart = np.random.default_rng(seed).random((7, 7)) < 0.2
    apart = np.triu(apart, 1) | np.triu(apart, 1).T
    alike = [run for run in combinations(range(7), 2) if not apart[run[0] : run[1] + 1, run[0] : run[1] + 1].any()]
    longest = [
        (first, last)
        for first, last in alike
        if not any((a, b) != (first, last) and a <= first and last <= b for a, b in alike)
    ]
    assert runs_alike(apart) == longest
