"""Training curves: the mean over seeds, with a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.style import CURVES, Look, entitle, looks_of, style
from results.values.text import in_a_row

Curve = tuple[str, Sequence[pd.DataFrame]]
"""A name, and the history of each seed: a row per epoch."""


def training_curves(curves: Sequence[Curve], keys: Sequence[str], order: Sequence[str], title: str) -> Figure | None:
    """Loss and test top-1 (%) over epochs, a line for each of at most `CURVES` curves; None without a history.

    `keys` choose the looks of the curves as in `looks_of`.
    """
    with style():
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        loss, accuracy = figure.subplots(1, 2, sharex=True)
        for place, ((name, histories), look) in enumerate(zip(curves, looks_of(keys, order), strict=True)):
            if histories:
                seeds = pd.concat(histories, keys=range(len(histories)), names=["seed"]).reset_index("seed")
                _curve(loss, seeds.assign(y=seeds["loss"]), place, look | {"label": in_a_row(name)})
                _curve(accuracy, seeds.assign(y=100 * seeds["test_top1"]), place, look | {"label": in_a_row(name)})
        if not loss.lines and not accuracy.lines:
            return None
        loss.set_ylabel("training loss")
        accuracy.set_ylabel("test top-1, %")
        for axes in (loss, accuracy):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        first, last = loss.dataLim.intervalx
        if first == last:
            loss.set_xlim(first - 1, last + 1)  # else the axis has fractions of an epoch
        handles, texts = max(
            (axes.get_legend_handles_labels() for axes in (loss, accuracy)), key=lambda pair: len(pair[0])
        )
        figure.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), handlelength=3.2)
        entitle(figure, title)
    return figure


def _curve(axes: Axes, seeds: pd.DataFrame, place: int, look: Look) -> None:
    """Draws the `place`-th line. `seeds`: rows of all seeds' histories; `y` is NaN where an epoch was not evaluated."""
    known = seeds.dropna(subset="y")
    if known.empty:
        return
    by_epoch = known.groupby("epoch")["y"]
    mean = by_epoch.mean()
    # A few markers make lines distinct in grey; each line has its own epochs, or markers would hide each other.
    step = max(1, len(mean) // 6)
    axes.plot(mean.index, mean, markevery=(place * step // CURVES, step), ms=4, mec="white", mew=0.4, **look)
    if known["seed"].nunique() > 1:
        axes.fill_between(mean.index, by_epoch.min(), by_epoch.max(), color=look["color"], alpha=0.15, lw=0)
