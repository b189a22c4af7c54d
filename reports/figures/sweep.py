"""Images per second over the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.cell_format import one_line
from reports.figures.style import entitle, log_axis, looks_of, style


class Rate(NamedTuple):
    """Of one batch size: source images per second, median, lowest and highest tenth of the blocks."""

    batch_size: int
    images_per_s: float
    low: float
    high: float


def batch_sweep(modes: dict[str, dict[str, Sequence[Rate]]], order: Sequence[str], title: str) -> Figure | None:
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
        look_of = dict(zip(names, looks_of(names, order), strict=True))
        for axes, (mode, methods) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for name, rates in sorted(methods.items()):
                batch, rate, low, high = map(np.array, zip(*rates, strict=True))
                axes.errorbar(
                    batch,
                    rate,
                    [np.maximum(rate - low, 0), np.maximum(high - rate, 0)],
                    elinewidth=0.8,
                    capsize=2,
                    ms=5,
                    mec="white",
                    mew=0.5,
                    **look_of[name],
                )
            log_axis(axes, "x", base=2)
            axes.set_ylim(bottom=0)
            axes.set(title="training" if mode == "train" else mode, xlabel="batch size, images")
            axes.set_ylabel("images/s")
        handles = [Line2D([], [], ms=5, label=one_line(name), **look) for name, look in look_of.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), handlelength=3.2)
        entitle(figure, title)
    return figure
