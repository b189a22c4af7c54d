"""Roofline: how close each method comes to the limits of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.placement import Mark, place_labels
from reports.figures.style import DARK, SMALL, Look, entitle, log_axis, looks_of, style
from results.values.text import in_a_row


@dataclass(frozen=True)
class Work:
    """One mode of a method, measured."""

    name: str
    method: str
    training: bool
    flops: float
    """Per source image."""
    traffic: float
    """Bytes per source image."""
    images_per_s: float


def roofline(
    works: Sequence[Work], flops_per_s: float, bytes_per_s: float, order: Sequence[str], title: str
) -> Figure | None:
    """Achieved FLOP/s over FLOPs per byte of traffic, and the roof measured on the device; None without any.

    Full points are inference, hollow ones training. Traffic is the sum of what each operation reads and writes. Caches
    and fused kernels save some of it: the true point is then further right, and may lie above the slanted roof.
    """
    if not works:
        return None
    with style():
        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel("arithmetic intensity, FLOPs per byte of traffic")
        unit, letter = (1e12, "T") if flops_per_s >= 1e12 else (1e9, "G")
        axes.set_ylabel(f"achieved, {letter}FLOP/s")
        at = np.array([one.flops / one.traffic for one in works])
        done = np.array([one.flops * one.images_per_s / unit for one in works])
        log_axis(axes, "x")
        log_axis(axes, "y")
        roof = (flops_per_s / unit, bytes_per_s / unit)
        _roof(axes, at, done, roof, letter)
        for x, y, one, look in zip(at, done, works, looks_of([one.method for one in works], order), strict=True):
            face = "white" if one.training else look["color"]
            axes.plot(x, y, ls="none", marker=look["marker"], mfc=face, mec=look["color"], mew=1.2, ms=7, zorder=3)
        handles = [
            Line2D([], [], ls="none", marker="o", color=DARK, mfc=face, label=name)
            for name, face in (("inference", DARK), ("training", "white"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        entitle(figure, title)
        marks = [Mark(x, y, y, y) for x, y in zip(at, done, strict=True)]
        with_inference = {one.name for one in works if not one.training}
        # The hollow and the full point of a method look alike, so one label is enough.
        names = ["" if one.training and one.name in with_inference else in_a_row(one.name) for one in works]
        place_labels(axes, marks, names)
    return figure


def _roof(axes: Axes, at: np.ndarray, done: np.ndarray, roof: tuple[float, float], letter: str) -> None:
    """The two ceilings and their labels; sets limits that include all points and the ridge.

    `roof`: FLOPs and bytes per second, in units of `letter`.
    """
    flops, traffic = roof
    ridge = flops / traffic
    left, right = min(at.min(), ridge) / 2.5, max(at.max(), ridge) * 2.5
    x = np.geomspace(left, right, 200)
    axes.plot(x, np.minimum(flops, traffic * x), color=DARK, lw=1.2, ls="-", marker="", zorder=1)
    axes.set_xlim(left, right)
    axes.set_ylim(min(done.min(), traffic * left) / 1.6, 2.2 * max(flops, done.max()))
    small: Look = {"textcoords": "offset points", "size": SMALL}
    axes.annotate(f"matrix product: {flops:.3g} {letter}FLOP/s", (right, flops), (-4, 3), ha="right", **small)
    axes.annotate(f"copy: {traffic:.3g} {letter}B/s", (left, traffic * left), (16, -2), va="top", **small)
