"""What may be said about accuracies: spread over seeds, paired tests on the same images, correction for many pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

CONFIDENCE = 0.95
DRAWS = 2000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Summary:
    """Mean over `n` seeds, in the unit of the values; one seed has no spread and no interval, and none is made up."""

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


def over_seeds(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, sample standard deviation and Student-t interval of the mean, for seeds as independent draws."""
    n = len(values)
    if n == 0:
        return Summary(0, None, None, None, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar p value for two models on the same images `(N,)`.

    Only images that exactly one of the two gets right count; without any, nothing speaks against equality: p = 1.
    """
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(second_right & ~first_right))
    if only_first + only_second == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def pooled_p(p_values: Sequence[float]) -> float:
    """One p value from those of several seeds, which share their test images and so depend on each other.

    Twice the mean is a valid p value under any dependence (Rüschendorf 1982; Vovk & Wang, Biometrika 2020). It is
    small only if every seed's is. One p value stays as it is. Raises `ValueError` for none.
    """
    if not p_values:
        raise ValueError("no p values to pool")
    if len(p_values) == 1:
        return p_values[0]
    return min(1.0, 2 * math.fsum(p_values) / len(p_values))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given: keeps the chance of any false claim below the level."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def accuracy_draws(right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Accuracies of models on `DRAWS` draws of the images, with replacement: `(N images, S models)` -> `(DRAWS, S)`.

    The draws depend on N alone: models on the same images, in the same order, are drawn alike and can be compared.
    """
    return _image_weights(len(right)) @ right.astype(np.float32)


def difference_interval(
    first: NDArray[np.float32], second: NDArray[np.float32], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference of two methods' `accuracy_draws`, seed by seed.

    Images and seeds are drawn each by itself, since every seed saw the same images (the pigeonhole bootstrap; Owen,
    Annals of Applied Statistics 2007). With one seed the interval speaks of that pair of models alone.
    """
    means = np.sum((first - second) * _seed_weights(first.shape[1]), axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=1)
def _image_weights(images: int) -> NDArray[np.float32]:
    """Share of each image in each draw, `(DRAWS, images)`; experiments of one dataset come one after another."""
    random = np.random.default_rng(images)
    drawn = [np.bincount(random.integers(0, images, images), minlength=images) for _ in range(DRAWS)]
    return np.array(drawn, np.float32) / np.float32(images)


@lru_cache
def _seed_weights(seeds: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seeds)
    return (random.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds).astype(np.float32)
