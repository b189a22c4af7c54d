"""What profile Runs measured: images per second over the batch size, and the memory of a training step by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.colours import PAPER, QUIET
from reports.figures.looks import Look
from reports.figures.style import COLUMN, PAGE, in_bytes, legend_below, log_axis, new_figure, style, wrapped

REST = "rest of the peak"
PHASES = {
    "weights": ("#222222", ""),
    "gradients": ("#0072b2", "////"),
    "optimizer": ("#56b4e9", "----"),
    "activations": ("#e69f00", "\\\\\\\\"),
    REST: (PAPER, ""),
}
"""Phase -> its colour and hatch; from dark to light, so that they differ in grey too."""
SWEEP_CAPTION = "Median rate over the batch size; bars from the lowest to the highest tenth of the measured blocks."
MEMORY_CAPTION = "Memory of one training step, by what it holds at its peak; the number is the peak."
NAME = 20
"""Letters of a name beside a bar; a longer one is broken."""


class Rate(NamedTuple):
    """Of one batch size: source images per second, median, lowest and highest tenth of the blocks."""

    batch_size: int
    images_per_s: float
    low: float
    high: float


class MemoryUse(NamedTuple):
    """Bytes of a method's training step, phase by phase, and at its peak."""

    name: str
    phases: dict[str, int]
    peak: int


def batch_sweep(modes: Mapping[str, Mapping[str, Sequence[Rate]]], looks: Mapping[str, Look]) -> Figure | None:
    """Mode -> method -> its rates: a panel per mode, a line per method; None if no method has two batch sizes.

    `looks` has one for each method.
    """
    panels = {
        mode: {name: sorted(rates) for name, rates in methods.items() if len({rate.batch_size for rate in rates}) > 1}
        for mode, methods in modes.items()
    }
    panels = {mode: methods for mode, methods in panels.items() if methods}
    if not panels:
        return None
    names = sorted({name for methods in panels.values() for name in methods})
    with style():
        figure = new_figure(COLUMN if len(panels) == 1 else PAGE, 2.3 + 0.08 * len(names))
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (mode, methods) in zip(all_axes, panels.items(), strict=True):
            for name, rates in sorted(methods.items()):
                batch, rate, low, high = map(np.array, zip(*rates, strict=True))
                reach = [np.maximum(rate - low, 0), np.maximum(high - rate, 0)]
                axes.errorbar(batch, rate, reach, elinewidth=0.7, capsize=1.5, mec=PAPER, mew=0.4, **looks[name])
            log_axis(axes, "x", "batch size, images", base=2)
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"{'training step' if mode == 'train' else mode}, images/s")
        legend_below(figure, [Line2D([], [], label=name, **looks[name]) for name in names])
    return figure


def memory_by_phase(uses: Sequence[MemoryUse]) -> Figure | None:
    """A bar per method, stacked by phase, up to the peak; None if no method has phases."""
    uses = [use for use in uses if use.phases]
    if not uses:
        return None
    unit, unit_name = in_bytes(max(use.peak for use in uses))
    names = [wrapped(use.name, NAME) for use in uses]
    lines = max(name.count("\n") for name in names) + 1
    with style():
        figure = new_figure(COLUMN, 0.95 + (0.1 + 0.13 * lines) * len(uses))
        axes = figure.add_subplot(xlabel=f"memory, {unit_name}")
        places = np.arange(len(uses))[::-1]
        left = np.zeros(len(uses))
        for phase, (color, hatch) in PHASES.items():
            sizes = [use.peak - sum(use.phases.values()) if phase == REST else use.phases.get(phase, 0) for use in uses]
            width = np.maximum(sizes, 0) / unit
            if width.any():
                edge = QUIET if color == PAPER else PAPER
                bars: Look = {"color": color, "hatch": hatch, "edgecolor": edge, "linewidth": 0.6, "label": phase}
                axes.barh(places, width, 0.62, left, **bars)
            left += width
        for place, use, end in zip(places, uses, left, strict=True):
            axes.text(end, place, f" {use.peak / unit:.3g}", va="center")
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(uses) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        legend_below(figure, axes.get_legend_handles_labels()[0], handlelength=1.6)
    return figure
