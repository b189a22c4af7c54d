"""Training curves: the mean over seeds, with a band from the lowest to the highest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures.colours import PAPER
from reports.figures.looks import Look
from reports.figures.style import COLUMN, CURVES, PAGE, TOP1, legend_below, new_figure, style, wrapped
from results.stored_tables import Columns

ACCURACY, LOSS = "test_top1", "loss"
"""Columns of a history."""
CAPTION = {
    ACCURACY: "Top-1 accuracy on the test images after each epoch that was evaluated: mean over seeds, band from the "
    "lowest to the highest.",
    LOSS: "Training loss over the epochs, on an axis of its own for each experiment, since methods minimise different "
    "losses: mean over seeds, band from the lowest to the highest.",
}
"""Column -> what the figure of it shows."""


class Curve(NamedTuple):
    """One experiment."""

    name: str
    histories: Sequence[Columns]
    """Of each seed: `epoch`, `loss` and `test_top1` of its epochs; NaN where an epoch was not evaluated."""
    look: Look


def points(histories: Sequence[Columns], column: str) -> int:
    """In how many epochs some seed has a value."""
    known = [history["epoch"][~np.isnan(history[column])] for history in histories]
    return len(np.unique(np.concatenate(known))) if known else 0


def accuracy_curves(curves: Sequence[Curve]) -> Figure | None:
    """Test top-1 (%) over epochs, a line for each of at most `CURVES` curves; None without two points."""
    shown = [curve for curve in curves if points(curve.histories, ACCURACY) > 1]
    if not shown:
        return None
    with style():
        figure = new_figure(COLUMN, 2.3 + 0.16 * len(shown))
        axes = figure.add_subplot(xlabel="epoch", ylabel=TOP1)
        for place, curve in enumerate(shown):
            _draw(axes, curve, ACCURACY, 100, place)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        legend_below(figure, [Line2D([], [], label=curve.name, **curve.look) for curve in shown])
    return figure


def loss_panels(curves: Sequence[Curve]) -> Figure | None:
    """Training loss over epochs, a panel with an axis of its own for each curve; None without two points."""
    shown = [curve for curve in curves if points(curve.histories, LOSS) > 1]
    if not shown:
        return None
    # As few empty places as possible.
    columns = min((4, 3), key=lambda count: -len(shown) % count) if len(shown) > 2 else len(shown)
    rows = math.ceil(len(shown) / columns)
    width = COLUMN if columns < 3 else PAGE
    with style():
        figure = new_figure(width, 0.35 + 1.25 * rows)
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axes, curve in zip(panels, shown, strict=False):
            _draw(axes, curve, LOSS, 1, 0)
            axes.set_title(wrapped(curve.name, int(14 * width / columns)))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        for place, axes in enumerate(panels):
            axes.set_axis_on() if place < len(shown) else axes.set_axis_off()
            axes.tick_params(labelbottom=len(shown) - columns <= place < len(shown))
        figure.supxlabel("epoch", fontsize=8)
        figure.supylabel("training loss", fontsize=8)
    return figure


def _draw(axes: Axes, curve: Curve, column: str, unit: float, place: int) -> None:
    """Draws the `place`-th line: a column of all seeds' histories, times `unit`."""
    epochs = np.concatenate([history["epoch"] for history in curve.histories])
    values = np.concatenate([history[column] for history in curve.histories]) * unit
    known = ~np.isnan(values)
    values = values[known]
    shown, row = np.unique(epochs[known], return_inverse=True)
    mean = np.bincount(row, values) / np.bincount(row)
    # A few markers make lines distinct in grey; each line has its own epochs, or markers would hide each other.
    step = max(1, len(mean) // 6)
    axes.plot(shown, mean, markevery=(place * step // CURVES, step), mec=PAPER, mew=0.4, **curve.look)
    if sum(bool((~np.isnan(history[column])).any()) for history in curve.histories) > 1:
        low, high = np.full(len(shown), np.inf), np.full(len(shown), -np.inf)
        np.minimum.at(low, row, values)
        np.maximum.at(high, row, values)
        axes.fill_between(shown, low, high, color=curve.look["color"], alpha=0.15, lw=0)
