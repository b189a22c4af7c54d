"""What all figures share: the style, the looks of methods, text and axes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from reports.cell_format import minus, rounded
from results.values.text import in_a_row

STYLE = Path(__file__).with_name("fgbench.mplstyle")
CURVES = 7
"""Distinct looks, so the most lines that one figure can show."""
GREY, DARK = "#999999", "#333333"
SMALL = 7
"""Points, of notes within a figure."""
Look = dict[str, Any]


@contextmanager
def style() -> Iterator[None]:
    """The house style, for drawing and for saving; nothing outside the block is touched."""
    with matplotlib.rc_context(fname=STYLE):
        yield


def looks(count: int) -> list[Look]:
    """Colour, marker and dash for each of `count` lines, repeated after `CURVES`. Call it within `style`."""
    return list(islice(cycle(matplotlib.rcParams["axes.prop_cycle"]), count))


def looks_of(names: Sequence[str], order: Sequence[str] = ()) -> list[Look]:
    """One look per distinct name: that of its place in `order`, so that it is the same in every figure of a report.

    If a name is not in `order`, or two would share a look, the names' alphabetical order decides.
    """
    distinct = sorted(set(names))
    places = [order.index(name) % CURVES for name in distinct if name in order]
    if len(set(places)) < len(distinct):
        places = list(range(len(distinct)))
    every = looks(max(places, default=0) + 1)
    known = {name: every[place] for name, place in zip(distinct, places, strict=True)}
    return [known[name] for name in names]


def entitle(figure: Figure, title: str) -> None:
    """Sets the title above all axes, in as few lines as fit the figure's width, of about equal length."""
    title, width = in_a_row(title), int(figure.get_figwidth() * 13.5)
    lines = textwrap.wrap(title, width, break_on_hyphens=False)
    while len(shorter := textwrap.wrap(title, width - 1, break_on_hyphens=False)) == len(lines) > 1:
        lines, width = shorter, width - 1
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9.5)


def note(axes: Axes, text: str) -> None:
    """Writes a small remark above the right corner of the axes."""
    axes.text(1, 1.01, text, transform=axes.transAxes, ha="right", va="bottom", size=SMALL, color="#555555")


def signed(value: float) -> str:
    """A difference in points, with its sign."""
    return minus(f"{rounded(value):+.1f}")


def in_bytes(largest: float) -> tuple[float, str]:
    """The unit for sizes up to `largest` bytes, and its name."""
    return (2.0**30, "GiB") if largest >= 2**29 else (2.0**20, "MiB")


def log_axis(axes: Axes, which: str, base: float = 10) -> None:
    """A logarithmic axis (`x` or `y`) with plain numbers at 1, 2, 5 of each decade, or at the powers of two."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log", base=base)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(base, subs=(1.0, 2.0, 5.0) if base == 10 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
