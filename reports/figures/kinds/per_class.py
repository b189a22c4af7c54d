"""In which classes one method is better than another, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from reports.classes import class_labels, class_name
from reports.figures.colours import BETTER, INK, NEUTRAL, WORSE
from reports.figures.style import PAGE, POINTS, legend_below, new_figure, style

SHUFFLES = 500
"""Random draws of the differences of equal methods."""
NAMED = 8
"""Classes with a name at each end."""
CAPTION = (
    "Left: the difference in each class, in order; the band holds 95 % of the values at each rank if the methods are "
    "equal (signs of the images' differences drawn at random). Right: the classes at both ends, with their number of "
    "test images."
)


def per_class_difference(
    difference: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    methods: tuple[str, str],
) -> Figure | None:
    """Top-1 of the first method minus the second, class by class, in points; None with fewer than two classes.

    `difference` `(N,)`: per test image, the share of seeds by which the first is right minus that of the second.
    Left: all classes in order, with the band that holds 95 % of the values at each rank if the methods are equal (signs
    of the images' differences drawn at random). Right: the classes at both ends by name.
    """
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return None
    images, means = _by_class(difference, places)
    order = np.argsort(means, kind="stable")
    low, high = _chance(difference, places, images)
    with style():
        figure = new_figure(PAGE, 2.9)
        whole, ends = figure.subplots(1, 2, width_ratios=(1.15, 1))
        ranks = np.arange(1, len(classes) + 1)
        whole.fill_between(ranks, low, high, step="mid", color=NEUTRAL, alpha=0.35, lw=0)
        whole.scatter(
            ranks, means[order], 60 / np.sqrt(len(classes)), [_color(value) for value in means[order]], zorder=3
        )
        whole.axhline(0, color=INK, lw=0.7)
        whole.set_xlabel(f"class, by difference ({len(classes)} classes)")
        whole.set_ylabel(POINTS)
        whole.set_xlim(0.25, len(classes) + 0.75)
        whole.grid(visible=False, axis="x")
        named = _named(order)
        ends.barh(np.arange(len(named)), means[named], 0.74, color=[_color(value) for value in means[named]])
        ends.axvline(0, color=INK, lw=0.7)
        names = class_labels([class_name(class_names, int(classes[place])) for place in named])
        ends.set_yticks(
            np.arange(len(named)), [f"{name} ({images[place]})" for name, place in zip(names, named, strict=True)]
        )
        ends.set_xlabel(POINTS)
        ends.set_ylim(-0.6, len(named) - 0.4)
        ends.grid(visible=False, axis="y")
        dots = [
            Line2D([], [], ls="none", marker="o", color=color, label=f"{method} better")
            for method, color in zip(methods, (BETTER, WORSE), strict=True)
        ]
        legend_below(figure, [*dots, Patch(color=NEUTRAL, alpha=0.35, lw=0, label="equal methods, 95 %")])
    return figure


def balance(difference: NDArray[np.floating], labels: NDArray[np.integer], methods: tuple[str, str]) -> str:
    """In how many classes each method is better, in a sentence; arguments as of `per_class_difference`."""
    _, means = _by_class(difference, np.unique(labels, return_inverse=True)[1])
    better, worse = int(np.sum(means > 0)), int(np.sum(means < 0))
    first, second = methods
    return (
        f"{first} is better in {better} classes, {second} in {worse}; in {len(means) - better - worse} they are equal."
    )


def _by_class(
    difference: NDArray[np.floating], places: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Images of each class, and the mean difference on them in points."""
    images = np.bincount(places)
    return images, 100 * np.bincount(places, weights=difference) / images


def _chance(
    difference: NDArray[np.floating], places: NDArray[np.integer], images: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 2.5th and 97.5th percentile of the sorted differences of two methods that are equal, per rank."""
    random = np.random.default_rng(0)
    sums = np.empty((SHUFFLES, len(images)))
    for draw in sums:
        signs = 2 * random.integers(0, 2, len(difference)) - 1
        draw[:] = np.sort(100 * np.bincount(places, weights=signs * difference, minlength=len(images)) / images)
    low, high = np.quantile(sums, [0.025, 0.975], axis=0)
    return low, high


def _color(value: float) -> str:
    return BETTER if value > 0 else WORSE if value < 0 else NEUTRAL


def _named(order: NDArray[np.integer]) -> NDArray[np.integer]:
    """The lowest and the highest, the highest on top, no class twice."""
    return order if len(order) <= 2 * NAMED else np.r_[order[:NAMED], order[-NAMED:]]
