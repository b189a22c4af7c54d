"""What all figures share: the style, the widths of a paper, legends, axes and words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from results.values.text import in_a_row

STYLE = Path(__file__).with_name("fgbench.mplstyle")
COLUMN, PAGE = 3.3, 6.9
"""Inches: one column of a paper with two, and the width of its page."""
SMALL = 7.5
"""Points, of notes within a figure; all other text has 8."""
LETTER = 0.068
"""Inches that a letter takes on average, to choose a width before anything is drawn."""
CURVES = 7
"""Most lines that one figure shows."""
TOP1, POINTS = "top-1 accuracy, %", "difference in top-1, points"
"""The words on every axis of accuracies, and of their differences."""


@contextmanager
def style() -> Iterator[None]:
    """The house style, for drawing and for saving; nothing outside the block is touched."""
    with matplotlib.rc_context(fname=STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; call it within `style`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # measures text
    return figure


def legend_below(figure: Figure, handles: Sequence[Artist], title: str = "", **options: Any) -> None:
    """A legend below all axes, with as many entries in a line as fit the figure's width; long names are broken."""
    letters = int(figure.get_figwidth() / LETTER) - 9
    labels = [wrapped(str(handle.get_label()), letters) for handle in handles]
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(
            handles=handles, labels=labels, loc="outside lower center", ncols=columns, title=title or None, **options
        )
        if columns == 1 or legend.get_window_extent().width < 0.98 * figure.bbox.width:
            return
        legend.remove()


def wrapped(name: str, letters: int) -> str:
    """A name in lines of at most `letters`, broken at spaces, or else behind hyphens and underscores."""
    pieces = re.split(r"(?<=[ _-])", in_a_row(name))
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece.rstrip()) > letters:
            lines.append(piece)
        else:
            lines[-1] += piece
    return "\n".join(part for line in lines for part in textwrap.wrap(line, letters)) or name


def in_bytes(largest: float) -> tuple[float, str]:
    """The unit for sizes up to `largest` bytes, and its name."""
    return (2.0**30, "GiB") if largest >= 2**29 else (2.0**20, "MiB")


def log_axis(axes: Axes, which: str, label: str, base: float = 10) -> None:
    """A logarithmic axis (`x` or `y`) whose label says so: plain numbers at 1, 2, 5 of each decade, or at the powers of
    two, and minor ticks between them."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log", base=base)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(f"{label} (log scale)")
    axis.set_major_locator(LogLocator(base, subs=(1.0, 2.0, 5.0) if base == 10 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(base, subs=(3.0, 4.0, 6.0, 7.0, 8.0, 9.0) if base == 10 else (1.25, 1.5, 1.75)))
    axis.set_minor_formatter(NullFormatter())
