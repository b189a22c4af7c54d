"""The pairs of classes that are taken for each other most, with pictures of them where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.figures.style import DARK, class_label, entitle, style

PAIRS = 10
"""Shown without pictures."""
PICTURED = 6
"""Shown with them."""
_COLOR = "#0072B2"


@dataclass(frozen=True)
class Confusion:
    """Images of class `label` that are taken for `prediction`."""

    label: str
    prediction: str
    share: float
    """Of the class's images, `[0, 1]`, mean over seeds."""
    images: float
    """How many, mean over seeds."""
    of: int
    """Test images of the class."""
    mistaken: NDArray[np.uint8] | None = None
    """One of them `(H, W, 3)`."""
    other: NDArray[np.uint8] | None = None
    """An image of the class that it was taken for."""


def most_confused(confusions: Sequence[Confusion], title: str) -> Figure | None:
    """Bars of the share of a class's images that go to the other, in the order given; None if there are none.

    With pictures: on the left one that was mistaken, on the right one of the class it was taken for.
    """
    pictured = [one for one in confusions if one.mistaken is not None and one.other is not None][:PICTURED]
    shown = pictured or list(confusions)[:PAIRS]
    if not shown:
        return None
    with style():
        if pictured:
            figure = Figure(figsize=(6.4, 0.5 + 1.02 * len(shown)), layout="constrained")
            grid = figure.subplots(len(shown), 3, width_ratios=(1, 1, 3.6), squeeze=False)
            longest = max(one.share for one in shown)
            for row, one in zip(grid, shown, strict=True):
                assert one.mistaken is not None
                assert one.other is not None
                _picture(row[0], one.mistaken)
                _picture(row[1], one.other)
                _line(row[2], one, longest)
            grid[0][0].set_title("mistaken", size=8, loc="center")
            grid[0][1].set_title("taken for", size=8, loc="center")
            grid[0][2].set_title("share of the class's test images; how many: mean over seeds", size=8)
        else:
            figure = Figure(figsize=(6.4, 0.9 + 0.26 * len(shown)), layout="constrained")
            axes = figure.add_subplot()
            places = np.arange(len(shown))[::-1]
            shares = [100 * one.share for one in shown]
            axes.barh(places, shares, 0.66, color=_COLOR)
            for place, one, share in zip(places, shown, shares, strict=True):
                axes.text(share, place, f" {one.images:.3g} of {one.of}", va="center", size=8, color=DARK)
            axes.set_yticks(places, [_words(one) for one in shown])
            axes.set_xlabel("share of the class's test images, %\n(how many: mean over seeds)")
            axes.grid(visible=False, axis="y")
            axes.margins(x=0.14)
        entitle(figure, title)
    return figure


def _words(one: Confusion) -> str:
    return f"{class_label(one.label)} → {class_label(one.prediction)}"


def _picture(axes: Axes, image: NDArray[np.uint8]) -> None:
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _line(axes: Axes, one: Confusion, longest: float) -> None:
    axes.barh([0], [one.share], 0.3, color=_COLOR)
    axes.set(xlim=(0, 1.45 * longest), ylim=(-0.5, 0.9))
    axes.text(0, 0.3, _words(one), va="bottom", size=8)
    axes.text(
        one.share, 0, f"  {100 * one.share:.0f} % ({one.images:.3g} of {one.of})", va="center", size=8, color=DARK
    )
    axes.axis("off")
