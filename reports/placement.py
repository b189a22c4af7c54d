"""Labels beside their points, where they cover least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

_GAP = 7
"""Points between a marker's centre and its label."""
_PLACES = [
    (
        ring * x,
        ring * y,
        "left" if x > 0 else "right" if x < 0 else "center",
        "bottom" if y > 0 else "top" if y < 0 else "center",
    )
    for ring in (1, 2, 3.5)
    for x, y in ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1.2), (0, -1.2), (1.2, 0), (-1.2, 0))
]
"""Offsets tried, in units of `_GAP`, nearest first, with the text's alignment."""
_LINE = {"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkA": 0, "shrinkB": 4}


class Mark(NamedTuple):
    """A marker and its error bar, in data coordinates; `low` and `high` equal `y` without one."""

    x: float
    y: float
    low: float
    high: float


def place_labels(axes: Axes, marks: Sequence[Mark], texts: Sequence[str]) -> list[Annotation]:
    """Writes each text near its mark, greedily where it covers labels, markers and error bars least.

    Call it last: a change of limits afterwards moves points but not the choice of places.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    radius = _GAP * figure.dpi / 72 * 0.7
    taken = [box for mark in marks for box in _boxes(axes, mark, radius)]
    placed = []
    for mark, text in zip(marks, texts, strict=True):
        point = (mark.x, mark.y)
        label = axes.annotate(text, point, (0, 0), textcoords="offset points", fontsize=8, annotation_clip=False)
        label.set_in_layout(False)
        costs = []
        for rank, place in enumerate(_PLACES):
            _move(label, place)
            costs.append((_cost(label.get_window_extent(), taken, axes.bbox), rank))
        best = min(costs)[1]
        _move(label, _PLACES[best])
        if best >= 8:
            axes.annotate("", point, label.xyann, textcoords="offset points", arrowprops=_LINE, zorder=1)
        taken.append(label.get_window_extent())
        placed.append(label)
    return placed


def _boxes(axes: Axes, mark: Mark, radius: float) -> list[Bbox]:
    """The marker and its error bar, in pixels."""
    x, y = axes.transData.transform((mark.x, mark.y))
    low, high = (axes.transData.transform((mark.x, end))[1] for end in (mark.low, mark.high))
    thin = radius / 4
    return [
        Bbox.from_extents(x - radius, y - radius, x + radius, y + radius),
        Bbox.from_extents(x - thin, low, x + thin, high),
    ]


def _move(label: Annotation, place: tuple[float, float, str, str]) -> None:
    x, y, horizontal, vertical = place
    label.xyann = (x * _GAP, y * _GAP)
    label.set(ha=horizontal, va=vertical)


def _cost(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Covered area in square pixels; what leaves the axes counts twice."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    return round(covered + 2 * (box.width * box.height - _area(Bbox.intersection(box, inside))), 3)


def _area(box: Bbox | None) -> float:
    return box.width * box.height if box is not None else 0.0
