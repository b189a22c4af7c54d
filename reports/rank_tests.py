"""Do methods differ over several datasets? Their average ranks, a test of all of them, and tests of each pair.

The way is that of Demšar (JMLR 2006), with the pairs of Benavoli et al. (JMLR 2016) where there are enough datasets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.statistics import holm
from results.resampling import LEVEL

PERMUTATIONS = 9999


@dataclass(frozen=True)
class RankTest:
    """Of K methods on N datasets."""

    average: NDArray[np.float64]
    """Mean over the datasets of each method's rank, `(K,)`; 1 is the most accurate, equal ones share their ranks."""
    p: float
    """That all methods are alike, by `friedman`."""
    pairs: Literal["Wilcoxon-Holm", "Nemenyi"]
    """The test of pairs."""
    critical: float | None
    """Least difference of average ranks that Nemenyi's test finds."""
    apart: NDArray[np.bool_]
    """Whether each two methods are shown to differ, `(K, K)`; none are unless `p` is below `LEVEL`."""


def rank_test(accuracies: NDArray[np.float64]) -> RankTest:
    """Of `(N datasets, K methods)`, higher is better.

    Nemenyi's test depends on which other methods are compared, Wilcoxon's does not, but it can find nothing on few
    datasets: its smallest p value, 2 / 2^N, times the number of pairs must be below `LEVEL`. Else it is Nemenyi's.
    """
    datasets, methods = accuracies.shape
    ranks = _ranks(accuracies)
    average = ranks.mean(axis=0)
    p = friedman(ranks)
    apart = np.zeros((methods, methods), bool)
    pairs = list(combinations(range(methods), 2))
    critical = None
    if 2 / 2**datasets * len(pairs) < LEVEL:
        p_values = [wilcoxon(accuracies[:, one] - accuracies[:, other]) for one, other in pairs]
        for pair, adjusted in zip(pairs, holm(p_values), strict=True):
            apart[pair] = adjusted < LEVEL
        apart |= apart.T
    else:
        critical = nemenyi(datasets, methods)
        apart = np.abs(average[:, None] - average) >= critical
    return RankTest(average, p, "Wilcoxon-Holm" if critical is None else "Nemenyi", critical, apart & (p < LEVEL))


def average_ranks(accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of `(N datasets, K methods)`, the mean over the datasets of each method's rank, `(K,)`."""
    return _ranks(accuracies).mean(axis=0)


def friedman(ranks: NDArray[np.float64]) -> float:
    """p value of Friedman's test of ranks `(N datasets, K methods)`.

    By permutations within each dataset, always the same ones: the usual χ² is far off on few datasets. Of two methods
    on four datasets it says 0.046 where 1/8 is right.
    """
    random = np.random.default_rng(ranks.shape)
    in_order = np.sort(ranks, axis=1)  # so that the order of the methods has no say
    shuffled = random.permuted(np.broadcast_to(in_order, (PERMUTATIONS, *ranks.shape)), axis=2)
    spreads = np.square(shuffled.sum(axis=1)).sum(axis=1)
    # A part in a billion, since the sums of shared ranks are rounded.
    as_far = spreads >= np.square(ranks.sum(axis=0)).sum() * (1 - 1e-9)
    return float((1 + as_far.sum()) / (1 + PERMUTATIONS))


def wilcoxon(differences: NDArray[np.float64]) -> float:
    """Exact two-sided p value of Wilcoxon's signed-rank test of differences `(N,)`.

    Zeros say nothing and are left out; equal differences share their ranks, for which scipy's exact test is not made.
    """
    known = differences[differences != 0]
    doubled = np.rint(2 * _ranks(-np.abs(known)[None])[0]).astype(int)  # whole also where ranks are shared
    ways = np.ones(1)  # in which the signs give each sum of ranks
    for rank in doubled:
        ways = np.convolve(ways, np.bincount([0, rank]))
    fewer = min(doubled[known > 0].sum(), doubled[known < 0].sum())
    return float(min(1.0, 2 * ways[: fewer + 1].sum() / ways.sum()))


@lru_cache
def nemenyi(datasets: int, methods: int) -> float:
    """The critical difference: how far apart average ranks are that Nemenyi's test finds different at `LEVEL`."""
    from scipy.stats import studentized_range  # half a second, and few reports have so many datasets

    quantile = studentized_range.isf(LEVEL, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * datasets)))


def runs_alike(apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The longest runs of neighbours without a pair that is apart, as `(first, last)`, of methods in order of rank."""
    found: list[tuple[int, int]] = []
    for first in range(len(apart)):
        last = first
        while last + 1 < len(apart) and not apart[first : last + 2, first : last + 2].any():
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value in its row, the largest first; equal values share the mean of their ranks."""
    larger = (values[:, None, :] > values[:, :, None]).sum(axis=2)
    equal = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    return larger + (equal + 1) / 2
