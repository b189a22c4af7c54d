"""What each method gains on each backbone, as coloured cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.cell_format import signed_points
from reports.figures.colours import INK, PAPER
from reports.figures.style import COLUMN, LETTER, PAGE, new_figure, style, wrapped
from results.values.text import in_a_row

_COLORS = "PuOr"
"""Losses orange to gains violet through white; told apart in all common forms of colour blindness."""
_LEAST = 1.0
"""Points that the strongest colour stands for, at the least: differences of tenths stay pale."""
PALE = 2.0
"""How far the scale goes on beyond the largest gain, so that text can be read on every cell, also in the dark."""

CAPTION = (
    "Points of last-epoch top-1 over the baseline, plain, on the same backbone. Framed: significant by both tests, "
    "corrected for all cells. n=1: one seed. Empty: not measured."
)


@dataclass(frozen=True)
class Gain:
    """Of one method on one backbone."""

    points: float
    significant: bool
    alone: str
    """The mark of one seed, or empty."""


def gain_cells(
    methods: Sequence[str], backbones: Sequence[str], gains: Sequence[Sequence[Gain | None]]
) -> Figure | None:
    """`gains[method][backbone]` -> a cell each with its number in points of top-1; white without a number where there
    is none. Significant gains have a frame, so that they are seen in grey too. None if there are no gains."""
    known = [abs(one.points) for row in gains for one in row if one]
    if not known:
        return None
    scale = PALE * max(_LEAST, *known)
    values = np.array([[np.nan if one is None else one.points for one in row] for row in gains])
    names = [in_a_row(name) for name in methods]
    needed = LETTER * max(map(len, names)) + 0.75 * len(backbones)
    width = COLUMN if needed <= COLUMN else PAGE
    letters = max(10, int((width - LETTER * max(map(len, names))) / len(backbones) / LETTER) - 1)
    with style():
        figure = new_figure(width, 0.55 + 0.2 * len(methods))
        axes = figure.add_subplot()
        # Cells and not an image: vectors stay sharp, and the page turns their colours for the dark.
        axes.pcolormesh(values, cmap=_COLORS, vmin=-scale, vmax=scale, edgecolors=PAPER, linewidth=0.5)
        for down, row in enumerate(gains):
            for across, one in enumerate(row):
                if one is None:
                    continue
                text = signed_points(one.points) + one.alone
                axes.text(across + 0.5, down + 0.5, text, ha="center", va="center_baseline", color=INK)
                if one.significant:
                    axes.add_patch(Rectangle((across + 0.02, down + 0.06), 0.96, 0.88, fill=False, ec=INK, lw=1.1))
        labels = ["\n".join(wrapped(part, letters) for part in name.split(": ")) for name in backbones]
        axes.set_xticks(np.arange(len(backbones)) + 0.5, labels)
        axes.set_yticks(np.arange(len(methods)) + 0.5, names)
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
    return figure
