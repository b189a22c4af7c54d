"""Statistics of accuracies: spread over seeds, intervals, paired tests on the same images, correction for pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from results.resampling import CONFIDENCE, DRAWS, image_counts


@dataclass(frozen=True)
class Summary:
    """Mean over `n` seeds, in the unit of the values; one seed has no spread and no interval, and none is made up."""

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with the stated confidence, and the p value of its being zero."""

    low: float
    high: float
    p: float


def over_seeds(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, sample standard deviation and Student-t interval of the mean, for seeds as independent draws.

    The interval is about other seeds on the same test images; `bootstrap` is about other images too.
    """
    n = len(values)
    if n == 0:
        return Summary(0, None, None, None, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def accuracy_draws(right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Accuracies of models on `DRAWS` draws of the images, with replacement: `(N images, S models)` -> `(DRAWS, S)`.

    The draws depend on N alone: models on the same images, in the same order, are drawn alike and can be compared.
    """
    return image_counts(len(right)) @ right.astype(np.float32) / np.float32(len(right))


def bootstrap(
    values: NDArray[np.floating], draws: NDArray[np.floating], confidence: float = CONFIDENCE
) -> Interval | None:
    """Interval of the mean over seeds of `values` `(S,)`, given what they are on draws of the images `(DRAWS, S)`.

    Images and seeds are drawn each by itself, since every seed saw the same images (the pigeonhole bootstrap; Owen,
    Annals of Applied Statistics 2007), the deviations of the S seeds grown by √(S/(S-1)) as a sample variance is.
    Quantiles of few seeds reach too near: they are stretched as far as Student's t exceeds the normal, with the
    degrees of freedom of Satterthwaite (Biometrics Bulletin 1946) for the two parts of the variance. With one seed the
    interval speaks of that model alone. None where nothing varies: there is nothing to draw from.
    """
    seeds, mean = len(values), float(np.mean(values))
    means = draws.mean(axis=1, dtype=np.float64)
    of_images = float(means.var())
    of_seeds = float(np.var(values, ddof=1)) / seeds if seeds > 1 else 0.0
    error = math.sqrt(of_images + of_seeds)
    if error < 1e-7:  # of single precision
        return None
    freedom = error**4 / (of_seeds**2 / (seeds - 1)) if of_seeds else math.inf
    if seeds > 1:
        means = means + math.sqrt(seeds / (seeds - 1)) * (_seed_deviations(seeds) @ values)
    tail = (1 - confidence) / 2
    stretch = _student_quantile(freedom, 1 - tail) / float(special.ndtri(1 - tail))
    low, high = mean + stretch * (np.quantile(means, [tail, 1 - tail]) - mean)
    return Interval(float(low), float(high), 2 * _student_tail(freedom, abs(mean) / error))


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar p value for two models on the same images `(N,)`.

    Only images that exactly one of the two gets right count; without any, nothing speaks against equality: p = 1.
    """
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(second_right & ~first_right))
    if only_first + only_second == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def pooled_p(p_values: Sequence[float], differences: Sequence[float]) -> float:
    """One p value from the two-sided ones of several seeds, which share their test images and so depend on each other.

    Twice the mean is a valid p value under any dependence (Rüschendorf 1982; Vovk & Wang, Biometrika 2020). It is
    small only if every seed's is, and all differences point the same way: a seed against the mean difference counts as
    `2 - p`, twice its one-sided p value. One p value stays as it is. Raises `ValueError` for none.
    """
    if not p_values:
        raise ValueError("no p values to pool")
    if len(p_values) == 1:
        return p_values[0]
    mean = math.fsum(differences)
    against = [p if difference * mean > 0 else 2 - p for p, difference in zip(p_values, differences, strict=True)]
    return min(1.0, 2 * math.fsum(against) / len(against))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given: keeps the chance of any false claim below the level."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _student_quantile(freedom: float, share: float) -> float:
    return float(special.ndtri(share) if math.isinf(freedom) else special.stdtrit(freedom, share))


def _student_tail(freedom: float, t: float) -> float:
    return float(special.ndtr(-t) if math.isinf(freedom) else special.stdtr(freedom, -t))


@lru_cache
def _seed_deviations(seeds: int) -> NDArray[np.float64]:
    """By how much each seed's share in each draw exceeds an even one, `(DRAWS, seeds)`."""
    random = np.random.default_rng(seeds)
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds - 1 / seeds
