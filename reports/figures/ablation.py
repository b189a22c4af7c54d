"""The difference that each variant or step makes, as bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.cell_format import alone
from reports.figures.style import DARK, SMALL, entitle, signed, style
from results.resampling import LEVEL
from results.values.text import in_a_row

_COLOR = "#0072B2"


def gain_bars(rows: Sequence[Mapping[Any, Any]], names: Sequence[str], axis: str, title: str) -> Figure | None:
    """Rows with `difference`, `difference_low`, `difference_high`, `seeds` -> bars in points, in the order given.

    Full bars have an interval without zero and p values below `LEVEL` in both tests; the others are hollow. None if no
    row has a difference.
    """
    shown = [
        (row, "\n".join(map(in_a_row, name.splitlines())))
        for row, name in zip(rows, names, strict=True)
        if row["difference"] is not None
    ]
    if not shown:
        return None
    height = 0.4 if any("\n" in name for _, name in shown) else 0.3
    with style():
        figure = Figure(figsize=(6.4, 1.3 + height * len(shown)), layout="constrained")
        axes = figure.add_subplot(xlabel=in_a_row(axis))
        places = np.arange(len(shown))[::-1]
        for place, (row, _) in zip(places, shown, strict=True):
            low, high, value = row["difference_low"], row["difference_high"], row["difference"]
            significant = low is not None and (low > 0 or high < 0) and max(row["p"], row["p_bootstrap"]) < LEVEL
            axes.barh(place, value, 0.62, facecolor=_COLOR if significant else "white", edgecolor=_COLOR, linewidth=1)
            if low is not None:
                reach = [[max(value - low, 0)], [max(high - value, 0)]]  # predictions may contradict the record
                axes.errorbar(value, place, xerr=reach, fmt="none", ecolor=DARK, elinewidth=1, capsize=2.5)
            text = signed(value) + alone(row["seeds"])
            axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", size=8)
        axes.axvline(0, color=DARK, lw=0.8)
        axes.set_yticks(places, [name for _, name in shown])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.grid(visible=False, axis="y")
        kinds = {"significant in both tests, not corrected for several bars": _COLOR, "not shown to differ": "white"}
        handles = [Patch(facecolor=color, edgecolor=_COLOR, label=name) for name, color in kinds.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL + 1)
        entitle(figure, title)
    return figure
