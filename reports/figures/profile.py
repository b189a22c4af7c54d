"""What profile Runs measured: images per second over the batch size, and the memory of a training step by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.cell_format import BUSY
from reports.figures.style import Look, entitle, in_bytes, log_axis, looks_of, style
from results.values.text import in_a_row

REST = "rest of the peak"
PHASES = {
    "weights": ("#000000", ""),
    "gradients": ("#0072B2", "////"),
    "optimizer": ("#56B4E9", "...."),
    "activations": ("#E69F00", "\\\\\\\\"),
    REST: ("#FFFFFF", ""),
}
"""Phase -> its colour and hatch; from dark to light, so that they differ in grey too."""


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


def batch_sweep(modes: Mapping[str, Mapping[str, Sequence[Rate]]], order: Sequence[str], title: str) -> Figure | None:
    """Mode -> method -> its rates: a panel per mode, a line per method; None if no method has two batch sizes."""
    panels = {
        mode: {name: sorted(rates) for name, rates in methods.items() if len({rate.batch_size for rate in rates}) > 1}
        for mode, methods in modes.items()
    }
    panels = {mode: methods for mode, methods in panels.items() if methods}
    if not panels:
        return None
    names = sorted({name for methods in panels.values() for name in methods})
    with style():
        figure = Figure(figsize=(3.6 * len(panels), 3.3), layout="constrained")
        look_of = dict(zip(names, looks_of([name.removesuffix(BUSY) for name in names], order), strict=True))
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (mode, methods) in zip(all_axes, panels.items(), strict=True):
            for name, rates in sorted(methods.items()):
                batch, rate, low, high = map(np.array, zip(*rates, strict=True))
                reach = [np.maximum(rate - low, 0), np.maximum(high - rate, 0)]
                axes.errorbar(
                    batch, rate, reach, elinewidth=0.8, capsize=2, ms=5, mec="white", mew=0.5, **look_of[name]
                )
            log_axis(axes, "x", base=2)
            axes.set_ylim(bottom=0)
            axes.set(title="training" if mode == "train" else mode, xlabel="batch size, images")
            axes.set_ylabel("images/s")
        handles = [Line2D([], [], ms=5, label=in_a_row(name), **look) for name, look in look_of.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), handlelength=3.2)
        entitle(figure, title)
    return figure


def memory_by_phase(uses: Sequence[MemoryUse], title: str) -> Figure | None:
    """A bar per method, stacked by phase, up to the peak; None if no method has phases."""
    uses = [use for use in uses if use.phases]
    if not uses:
        return None
    unit, unit_name = in_bytes(max(use.peak for use in uses))
    with style():
        figure = Figure(figsize=(6.4, 1.4 + 0.34 * len(uses)), layout="constrained")
        axes = figure.add_subplot(xlabel=f"memory, {unit_name}")
        places = np.arange(len(uses))[::-1]
        left = np.zeros(len(uses))
        for phase, (color, hatch) in PHASES.items():
            sizes = [use.peak - sum(use.phases.values()) if phase == REST else use.phases.get(phase, 0) for use in uses]
            width = np.maximum(sizes, 0) / unit
            if width.any():
                edge = "#555555" if color == "#FFFFFF" else "white"
                bars: Look = {"color": color, "hatch": hatch, "edgecolor": edge, "linewidth": 0.6, "label": phase}
                axes.barh(places, width, 0.62, left, **bars)
            left += width
        for place, use, end in zip(places, uses, left, strict=True):
            axes.text(end, place, f" {use.peak / unit:.3g}", va="center", size=8)
        axes.set_yticks(places, [in_a_row(use.name) for use in uses])
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        figure.legend(loc="outside lower center", ncols=5, handlelength=1.6)
        entitle(figure, title)
    return figure
