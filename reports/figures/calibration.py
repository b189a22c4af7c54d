"""Reliability diagram: how often predictions of a given confidence are right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reports.figures.style import GREY, SMALL, entitle, looks_of, style
from results.values.text import in_a_row

BINS = 15
"""Of equal width, as for the calibration error."""
FEWEST = 10
"""Images that a bin must have to be drawn; the accuracy of fewer is noise."""
SHORT = 24
"""Most letters of a legend entry for two to stand side by side."""
Seeds = Sequence[tuple[NDArray[np.floating], NDArray[np.bool_]]]
"""Per seed the confidence of each prediction, and whether it is right, `(N,)` each."""
Confidences = tuple[str, Seeds]
"""A method's name, and its predictions."""


def reliability(methods: Sequence[Confidences], keys: Sequence[str], order: Sequence[str], title: str) -> Figure | None:
    """Accuracy over mean confidence in bins of confidence, and below it the histogram of confidences; None without any.

    Takes at most `CURVES` methods; `keys` choose their looks as in `looks_of`. Curves are over all seeds together;
    beside each name is the expected calibration error, mean over seeds.
    """
    if not methods:
        return None
    with style():
        texts = [f"{in_a_row(name)} ({100 * _mean_error(seeds):.1f} %)" for name, seeds in methods]
        columns = 2 if max(map(len, texts)) <= SHORT else 1
        lines = math.ceil(len(texts) / columns)
        figure = Figure(figsize=(4.8, 4.6 + 0.2 * lines), layout="constrained")
        curve, spread = figure.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
        curve.plot([0, 100], [0, 100], color=GREY, lw=1, ls="-", marker="", zorder=1)
        hint = "above the line: underconfident\nbelow: overconfident"
        curve.text(98, 3, hint, size=SMALL, color="#777777", ha="right", linespacing=1.4)
        edges = np.linspace(0, 100, BINS + 1)
        handles = []
        for (_, seeds), text, look in zip(methods, texts, looks_of(keys, order), strict=True):
            counts, means, accuracy = _binned(*map(np.concatenate, zip(*seeds, strict=True)))
            many = counts >= FEWEST
            if many.any():  # constrained layout fails on an empty line
                curve.plot(100 * means[many], 100 * accuracy[many], ms=5, mec="white", mew=0.5, clip_on=False, **look)
            spread.stairs(100 * counts / counts.sum(), edges, color=look["color"], ls=look["linestyle"], lw=1.3)
            handles.append(Line2D([], [], ms=5, label=text, **look))
        curve.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, %")
        spread.set(xlabel="confidence, %", ylabel="images, %")
        spread.set_ylim(bottom=0)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=columns,
            handlelength=3.2,
            title="method (expected calibration error)",
            title_fontsize=8,
        )
        entitle(figure, title)
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
