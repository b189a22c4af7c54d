"""The difference that each variant or step makes, as bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.cell_format import NEITHER, alone, signed_points
from reports.figures.colours import BETTER, INK, PAPER
from reports.figures.style import COLUMN, PAGE, legend_below, new_figure, style, wrapped

CAPTION = (
    "Differences in last-epoch top-1, with 95 % intervals. Full bars: shown by both tests at 5 %, by Holm's correction "
    "for all bars. n=1: one seed; the interval is over images alone, and compares two trained models."
)
SHORT, LONG = 24, 44
"""Letters of a name beside a bar in a column and on a page; a longer one is broken."""


def gain_bars(rows: Sequence[Mapping[Any, Any]], names: Sequence[str], axis: str) -> Figure | None:
    """Rows with `difference`, `difference_low`, `difference_high`, `difference_seeds` and what is `better` -> bars in
    points, in the order given.

    Full bars are differences that are shown; the others are hollow. None if no row has a difference.
    """
    shown = [(row, name) for row, name in zip(rows, names, strict=True) if row["difference"] is not None]
    if not shown:
        return None
    narrow = all(len(line) <= SHORT for _, name in shown for line in name.splitlines())
    labels = ["\n".join(wrapped(line, SHORT if narrow else LONG) for line in name.splitlines()) for _, name in shown]
    lines = max(label.count("\n") for label in labels) + 1
    with style():
        figure = new_figure(COLUMN if narrow else PAGE, 0.75 + (0.12 + 0.13 * lines) * len(shown))
        axes = figure.add_subplot(xlabel=axis)
        places = np.arange(len(shown))[::-1]
        for place, (row, _) in zip(places, shown, strict=True):
            low, high, value = row["difference_low"], row["difference_high"], row["difference"]
            significant = row["better"] not in {None, NEITHER}
            axes.barh(place, value, 0.62, facecolor=BETTER if significant else PAPER, edgecolor=BETTER, linewidth=1)
            if low is not None:
                reach = [[max(value - low, 0)], [max(high - value, 0)]]  # predictions may contradict the record
                axes.errorbar(value, place, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
            text = signed_points(value) + alone(row["difference_seeds"])
            axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center")
        axes.axvline(0, color=INK, lw=0.7)
        axes.set_yticks(places, labels)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.grid(visible=False, axis="y")
        kinds = {"significant": BETTER, "not shown to differ": PAPER}
        legend_below(figure, [Patch(facecolor=face, edgecolor=BETTER, label=name) for name, face in kinds.items()])
    return figure
