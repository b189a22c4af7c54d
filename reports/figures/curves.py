"""Training curves: the mean over seeds, with a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.figures.style import CURVES, Look, entitle, looks_of, style
from results.values.text import in_a_row

History = Mapping[str, NDArray[Any]]
"""`epoch`, `loss` and `test_top1` of a Run's epochs."""
Curve = tuple[str, Sequence[History]]
"""A name, and the history of each seed."""
_UNITS = {"loss": 1, "test_top1": 100}
"""Column -> what makes its values those of the figure."""


def training_curves(curves: Sequence[Curve], keys: Sequence[str], order: Sequence[str], title: str) -> Figure | None:
    """Loss and test top-1 (%) over epochs, a line for each of at most `CURVES` curves; None without a history.

    `keys` choose the looks of the curves as in `looks_of`.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        loss, accuracy = figure.subplots(1, 2, sharex=True)
        for place, ((name, histories), look) in enumerate(zip(curves, looks_of(keys, order), strict=True)):
            if histories:
                _curve(loss, histories, "loss", place, look | {"label": in_a_row(name)})
                _curve(accuracy, histories, "test_top1", place, look | {"label": in_a_row(name)})
        if not loss.lines and not accuracy.lines:
            return None
        loss.set_ylabel("training loss")
        accuracy.set_ylabel("test top-1, %")
        for axes in (loss, accuracy):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        first, last = loss.dataLim.intervalx
        if first == last:
            loss.set_xlim(first - 1, last + 1)  # else the axis has fractions of an epoch
        handles, texts = max(
            (axes.get_legend_handles_labels() for axes in (loss, accuracy)), key=lambda pair: len(pair[0])
        )
        figure.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), handlelength=3.2)
        entitle(figure, title)
    return figure


def _curve(axes: Axes, histories: Sequence[History], column: str, place: int, look: Look) -> None:
    """Draws the `place`-th line: a column of all seeds' histories, which is NaN where an epoch was not evaluated."""
    epochs = np.concatenate([history["epoch"] for history in histories])
    values = np.concatenate([history[column] for history in histories]) * _UNITS[column]
    known = ~np.isnan(values)
    if not known.any():
        return
    values = values[known]
    shown, row = np.unique(epochs[known], return_inverse=True)
    mean = np.bincount(row, values) / np.bincount(row)
    # A few markers make lines distinct in grey; each line has its own epochs, or markers would hide each other.
    step = max(1, len(mean) // 6)
    axes.plot(shown, mean, markevery=(place * step // CURVES, step), ms=4, mec="white", mew=0.4, **look)
    if sum(bool((~np.isnan(history[column])).any()) for history in histories) > 1:
        low, high = np.full(len(shown), np.inf), np.full(len(shown), -np.inf)
        np.minimum.at(low, row, values)
        np.maximum.at(high, row, values)
        axes.fill_between(shown, low, high, color=look["color"], alpha=0.15, lw=0)
