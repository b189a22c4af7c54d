"""Reliability diagram: how often predictions of a given confidence are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reports.figures.colours import NEUTRAL, PAPER, QUIET
from reports.figures.looks import Look
from reports.figures.style import COLUMN, SMALL, TOP1, legend_below, new_figure, style

BINS = 15
"""Of equal width, as for the calibration error."""
FEWEST = 10
"""Images that a bin must have to be drawn; the accuracy of fewer is noise."""
CAPTION = (
    f"Above: accuracy over mean confidence in {BINS} bins of equal width that have at least {FEWEST} images, all seeds "
    "together; a calibrated network is on the diagonal. Below: how many of the test images are in each bin. In "
    "parentheses: expected calibration error, mean over seeds."
)
Seeds = Sequence[tuple[NDArray[np.floating], NDArray[np.bool_]]]
"""Per seed the confidence of each prediction, and whether it is right, `(N,)` each."""
Confidences = tuple[str, Seeds]
"""A method's name, and its predictions."""


def reliability(methods: Sequence[Confidences], looks: Sequence[Look]) -> Figure | None:
    """Accuracy over mean confidence in bins of confidence, and below it the histogram of confidences; None without any.

    Takes at most `CURVES` methods, with a look each. Curves are over all seeds together; beside each name is the
    expected calibration error, mean over seeds.
    """
    if not methods:
        return None
    with style():
        figure = new_figure(COLUMN, 3.6 + 0.16 * len(methods))
        curve, spread = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        curve.plot([0, 100], [0, 100], color=NEUTRAL, lw=0.9, ls="-", marker="", zorder=1)
        hint = "above: underconfident\nbelow: overconfident"
        curve.text(98, 3, hint, size=SMALL, color=QUIET, ha="right", linespacing=1.3)
        edges = np.linspace(0, 100, BINS + 1)
        handles = []
        for (name, seeds), look in zip(methods, looks, strict=True):
            counts, means, accuracy = _binned(*map(np.concatenate, zip(*seeds, strict=True)))
            many = counts >= FEWEST
            if many.any():  # constrained layout fails on an empty line
                curve.plot(100 * means[many], 100 * accuracy[many], mec=PAPER, mew=0.4, clip_on=False, **look)
            spread.stairs(100 * counts / counts.sum(), edges, color=look["color"], ls=look["linestyle"], lw=1.1)
            handles.append(Line2D([], [], label=f"{name} ({100 * _mean_error(seeds):.1f} %)", **look))
        curve.set(xlim=(0, 100), ylim=(0, 100), ylabel=TOP1)
        spread.set(xlabel="confidence, %", ylabel="images, %")
        spread.set_ylim(bottom=0)
        figure.align_ylabels()
        legend_below(figure, handles, title="method (expected calibration error)")
    return figure


def _mean_error(seeds: Seeds) -> float:
    return float(np.mean([_error(*seed) for seed in seeds]))


def _error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error, `[0, 1]`."""
    counts, means, accuracy = _binned(confidence, right)
    return float(np.sum(counts * np.abs(accuracy - means)) / counts.sum())


def _binned(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Images, mean confidence and accuracy of each bin `(lower, upper]`; zero where a bin is empty."""
    place = np.clip(np.ceil(confidence * BINS).astype(int), 1, BINS) - 1
    counts = np.bincount(place, minlength=BINS).astype(float)
    sums = [np.bincount(place, weights=values, minlength=BINS) for values in (confidence, right.astype(float))]
    means, accuracy = (total / np.maximum(counts, 1) for total in sums)
    return counts, means, accuracy
