"""Labels beside their points, where they cover least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from numpy.typing import NDArray

from reports.figures.colours import NEUTRAL

_GAP = 7
"""Points between a marker's centre and its label."""
_AROUND = ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1.2), (0, -1.2), (1.2, 0), (-1.2, 0))
_PLACES = np.array([(ring * x, ring * y) for ring in (1, 2, 3.5, 6) for x, y in _AROUND])
"""Offsets tried, in units of `_GAP`, nearest first; of the label's side or corner that faces the marker."""
_LINE = {"arrowstyle": "-", "color": NEUTRAL, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
Boxes = NDArray[np.float64]
"""`(…, 4)`: left, bottom, right, top in pixels."""


class Mark(NamedTuple):
    """A marker and its error bars, in data coordinates; `low` and `high` equal `y` without one."""

    x: float
    y: float
    low: float
    high: float
    radius: float = 4.0
    """Of the marker, in points."""
    left: float | None = None
    """End of its bar along x; None without one, as `right`."""
    right: float | None = None


def place_labels(
    axes: Axes, marks: Sequence[Mark], texts: Sequence[str], avoid: Sequence[Text | Line2D] = ()
) -> list[Annotation]:
    """Writes each text near its mark, greedily where it covers labels, markers, error bars and what to `avoid` least.

    A mark with an empty text gets no label, but none covers it. Call it last: a change of limits or layout moves marks
    afterwards and not labels.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    taken = np.concatenate([_mark_boxes(axes, mark, (mark.radius + 1) * pixel) for mark in marks])
    taken = np.concatenate([taken, *map(_boxes_of, avoid)])
    inside = np.array(axes.bbox.extents)
    labels = []
    for mark, text in zip(marks, texts, strict=True):
        if not text:
            continue
        label = axes.annotate(text, (mark.x, mark.y), (0, 0), textcoords="offset points", ha="center", va="center")
        # Labels may leave the axes; making room for them would move all marks.
        label.set_in_layout(False)
        size = np.array(label.get_window_extent().size)
        offsets = (_GAP + max(mark.radius - 4, 0)) * _PLACES
        middles = pixel * offsets + np.sign(_PLACES) * size / 2
        centres = axes.transData.transform((mark.x, mark.y)) + middles
        boxes = np.concatenate([centres - size / 2, centres + size / 2], axis=1)
        outside = size.prod() - _common_area(boxes, inside[None])
        best = int(np.argmin(np.round(_common_area(boxes, taken) + 2 * outside, 3)))
        label.xyann = tuple(middles[best] / pixel)
        if best >= len(_AROUND):
            end = tuple(offsets[best])
            axes.annotate("", (mark.x, mark.y), end, textcoords="offset points", arrowprops=_LINE, zorder=1)
        taken = np.concatenate([taken, boxes[best : best + 1]])
        labels.append(label)
    return labels


def _mark_boxes(axes: Axes, mark: Mark, radius: float) -> Boxes:
    """The marker and its error bars."""
    x, y = axes.transData.transform((mark.x, mark.y))
    low, high = (axes.transData.transform((mark.x, end))[1] for end in (mark.low, mark.high))
    ends = (mark.x if end is None else end for end in (mark.left, mark.right))
    left, right = (axes.transData.transform((end, mark.y))[0] for end in ends)
    thin = radius / 4
    bars = [[x - thin, low, x + thin, high], [left, y - thin, right, y + thin]]
    return np.array([[x - radius, y - radius, x + radius, y + radius], *bars])


def _boxes_of(artist: Text | Line2D) -> Boxes:
    """The text's box, or small boxes along the line."""
    if isinstance(artist, Text):
        return np.array(artist.get_window_extent().extents)[None]
    corners = artist.get_transform().transform(artist.get_xydata())
    ends = np.linspace(0, len(corners) - 1, 300)
    along = np.stack([np.interp(ends, np.arange(len(corners)), one) for one in corners.T], axis=1)
    return np.concatenate([along - 2, along + 2], axis=1)


def _common_area(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Square pixels that each of `boxes` `(N, 4)` shares with `others` `(M, 4)`, summed -> `(N,)`."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(opposite - corner, 0, None).prod(axis=2).sum(axis=1)
