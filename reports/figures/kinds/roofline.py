"""Roofline: how close each method comes to the limits of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from reports.figures.colours import INK, PAPER
from reports.figures.looks import Look
from reports.figures.placement import Mark, place_labels
from reports.figures.style import COLUMN, PAGE, SMALL, legend_below, log_axis, new_figure, style
from results.values.text import in_a_row

FEW = 4
"""Most labels that a column has room for."""
CAPTION = (
    "Achieved arithmetic over the work that each byte of memory traffic does. Lines: the limits that were measured on "
    "the device, by a matrix product and by a copy. Traffic is the sum of what each operation reads and writes; caches "
    "and fused kernels save some of it, so a true point is further right."
)


@dataclass(frozen=True)
class Work:
    """One mode of a method, measured."""

    name: str
    look: Look
    training: bool
    flops: float
    """Per source image."""
    traffic: float
    """Bytes per source image."""
    images_per_s: float


def roofline(works: Sequence[Work], flops_per_s: float, bytes_per_s: float) -> Figure | None:
    """Achieved FLOP/s over FLOPs per byte of traffic, and the roof measured on the device; None without any.

    Full points are inference, hollow ones training. Traffic is the sum of what each operation reads and writes. Caches
    and fused kernels save some of it: the true point is then further right, and may lie above the slanted roof.
    """
    if not works:
        return None
    with_inference = {one.name for one in works if not one.training}
    # The hollow and the full point of a method look alike, so one label is enough.
    names = ["" if one.training and one.name in with_inference else in_a_row(one.name) for one in works]
    with style():
        figure = new_figure(COLUMN if sum(map(bool, names)) <= FEW else PAGE, 3.0)
        axes = figure.add_subplot()
        unit, letter = (1e12, "T") if flops_per_s >= 1e12 else (1e9, "G")
        at = np.array([one.flops / one.traffic for one in works])
        done = np.array([one.flops * one.images_per_s / unit for one in works])
        log_axis(axes, "x", "FLOPs per byte of traffic")
        log_axis(axes, "y", f"achieved, {letter}FLOP/s")
        told = _roof(axes, at, done, (flops_per_s / unit, bytes_per_s / unit), letter)
        for x, y, one in zip(at, done, works, strict=True):
            color, marker = one.look["color"], one.look["marker"]
            face = PAPER if one.training else color
            axes.plot(x, y, ls="none", marker=marker, mfc=face, mec=color, mew=1.1, ms=6, zorder=3)
        handles = [
            Line2D([], [], ls="none", marker="o", color=INK, mfc=face, label=name)
            for name, face in (("inference", INK), ("training", PAPER))
        ]
        legend_below(figure, handles)
        place_labels(axes, [Mark(x, y, y, y) for x, y in zip(at, done, strict=True)], names, told)
    return figure


def _roof(
    axes: Axes, at: np.ndarray, done: np.ndarray, roof: tuple[float, float], letter: str
) -> list[Annotation | Line2D]:
    """The two ceilings and their labels, all of which are returned; sets limits that include all points and the ridge.

    `roof`: FLOPs and bytes per second, in units of `letter`.
    """
    flops, traffic = roof
    ridge = flops / traffic
    left, right = min(at.min(), ridge) / 2.5, max(at.max(), ridge) * 2.5
    x = np.geomspace(left, right, 200)
    lines = axes.plot(x, np.minimum(flops, traffic * x), color=INK, lw=1.1, ls="-", marker="", zorder=1)
    axes.set_xlim(left, right)
    axes.set_ylim(min(done.min(), traffic * left) / 1.6, 2.2 * max(flops, done.max()))
    small: Look = {"textcoords": "offset points", "size": SMALL}
    return [
        *lines,
        axes.annotate(f"matrix product: {flops:.3g} {letter}FLOP/s", (right, flops), (-4, 3), ha="right", **small),
        axes.annotate(f"copy: {traffic:.3g} {letter}B/s", (left, traffic * left), (16, -2), va="top", **small),
    ]
