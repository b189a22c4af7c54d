"""Critical-difference diagram: the average rank of each method over several datasets (Demšar, JMLR 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.figures.colours import INK, QUIET
from reports.figures.style import COLUMN, PAGE, style
from reports.tables.across.ranks import Ranking
from results.values.text import cut, in_a_row

LETTERS = 36
"""Of a name, at the most."""
PAIRS = {
    "Nemenyi": "Nemenyi's critical difference",
    "Wilcoxon-Holm": "Wilcoxon's signed ranks with Holm's correction",
}
_ROW, _GAP = 0.17, 0.08
"""Inches between two names, and between two bars."""
_LINE: dict[str, Any] = {"color": INK, "lw": 0.8, "marker": "", "ls": "-"}
_LEAST = 1.2
"""Inches of the axis, at the least; else the figure is as wide as a page."""


def rank_diagram(
    names: Sequence[str], ranks: Sequence[float], alike: Sequence[tuple[int, int]], critical: float | None
) -> Figure:
    """Methods in order of their average ranks, the best at the left; bars join those that are not shown to differ.

    `alike` has the first and the last method of each bar (`reports.rank_tests.runs_alike`). `critical` is the least
    difference of ranks that the test finds, drawn to scale above the axis; None if the test has none.
    """
    texts = [f"{cut(in_a_row(name), LETTERS)} ({rank:.2f})" for name, rank in zip(names, ranks, strict=True)]
    with style():
        margin = max(map(_inches, texts)) + 0.15
        width = COLUMN if COLUMN - 2 * margin >= _LEAST else PAGE
        middle = (len(names) + 1) // 2  # names at the left, the others at the right
        axis = 0.35 if critical is None else 0.65
        first_row = axis + 0.15 + _GAP * len(alike)
        height = first_row + _ROW * (middle - 1) + 0.12
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # in inches from the upper left
        axes.set_axis_off()

        def across(rank: float) -> float:
            return margin + (rank - 1) / (len(names) - 1) * (width - 2 * margin)

        _axis(axes, [across(rank) for rank in range(1, len(names) + 1)], axis)
        if critical is not None:
            if (end := across(1 + critical)) < width - 0.1:  # else no difference of ranks is as large
                axes.plot([across(1), end], [0.26, 0.26], **_LINE | {"lw": 1, "marker": "|"})
            axes.text(across(1), 0.2, f"critical difference {critical:.2f}", ha="left", va="bottom", color=INK)
        for place, (text, rank) in enumerate(zip(texts, ranks, strict=True)):
            left = place < middle
            down = first_row + _ROW * (place if left else len(names) - 1 - place)
            side = margin if left else width - margin
            axes.plot([across(rank), across(rank), side], [axis, down, down], **_LINE | {"color": QUIET})
            gap, align = (-0.05, "right") if left else (0.05, "left")
            axes.text(side + gap, down, text, ha=align, va="center", color=INK)
        for level, (first, last) in enumerate(alike, 1):
            ends = across(ranks[first]) - 0.04, across(ranks[last]) + 0.04
            axes.plot(ends, [axis + _GAP * level] * 2, **_LINE | {"lw": 2.5, "solid_capstyle": "butt"})
    return figure


def caption(ranking: Ranking, datasets: Sequence[str]) -> str:
    """What the diagram of a ranking shows, with the names of its datasets."""
    test = ranking.test
    return (
        f"Average rank of each method by last-epoch top-1 over {len(datasets)} datasets ({', '.join(datasets)}); 1 is "
        f"the most accurate. A bar joins methods that are not shown to differ at 5 %. That all methods are alike has p "
        f"{'<' if test.p < 0.001 else '='} {max(test.p, 0.001):.3f} (Friedman, by permutations); pairs are tested by "
        f"{PAIRS[test.pairs]}."
    )


def _axis(axes: Axes, ticks: Sequence[float], down: float) -> None:
    """The axis of ranks with a tick at each whole one, above the names."""
    axes.plot([ticks[0], ticks[-1]], [down, down], **_LINE)
    step = max(1, int(np.ceil(len(ticks) / 10)))
    for rank, across in list(enumerate(ticks, 1))[::step]:
        axes.plot([across, across], [down - 0.05, down], **_LINE)
        axes.text(across, down - 0.07, str(rank), ha="center", va="bottom", color=INK)


def _inches(text: str) -> float:
    """How wide it is; call it within `style`."""
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.text(0, 0, text).get_window_extent().width / figure.dpi
