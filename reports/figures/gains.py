"""What each method gains on each backbone, as coloured cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.figures.style import DARK, SMALL, entitle, signed, style
from results.values.text import in_a_row

_COLORS = "PuOr"
"""Losses orange to gains violet through white; told apart in all common forms of colour blindness."""
_LEAST = 1.0
"""Points at the end of the scale, at the least: differences of tenths stay pale."""


@dataclass(frozen=True)
class Gain:
    """Of one method on one backbone."""

    points: float
    significant: bool
    alone: str
    """The mark of one seed, or empty."""


def gain_cells(
    methods: Sequence[str], backbones: Sequence[str], gains: Sequence[Sequence[Gain | None]], title: str
) -> Figure | None:
    """`gains[method][backbone]` -> a cell each with its number in points of top-1; white without a number where there
    is none. Significant gains have a frame, so that they are seen in grey too. None if there are no gains."""
    known = [abs(one.points) for row in gains for one in row if one]
    if not known:
        return None
    reach = max(_LEAST, *known)
    values = np.array([[np.nan if one is None else one.points for one in row] for row in gains])
    with style():
        figure = Figure(figsize=(2.4 + 1.25 * len(backbones), 1.7 + 0.28 * len(methods)), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(values, cmap=_COLORS, vmin=-reach, vmax=reach, aspect="auto")
        for down, row in enumerate(gains):
            for across, one in enumerate(row):
                if one is None:
                    continue
                text = signed(one.points) + one.alone
                ink = DARK if abs(one.points) < 0.6 * reach else "white"
                axes.text(across, down, text, ha="center", va="center", size=8, color=ink)
                if one.significant:
                    axes.add_patch(Rectangle((across - 0.46, down - 0.42), 0.92, 0.84, fill=False, ec=ink, lw=1.2))
        axes.set_xticks(range(len(backbones)), ["\n".join(in_a_row(name).split(": ")) for name in backbones])
        axes.set_yticks(range(len(methods)), [in_a_row(name) for name in methods])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, shrink=0.8, format=lambda value, _: signed(value) if value else "0")
        figure.supxlabel(
            "points of top-1 over plain; framed: by both tests, corrected for all cells", fontsize=SMALL + 1
        )
        entitle(figure, title)
    return figure
