"""Figures from tables and histories. Drawn without pyplot; one style file; the same data gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from reports.cells import one_line
from reports.groups import Group, labels
from reports.placement import Mark, place_labels
from results.store import write_whole

STYLE = Path(__file__).with_name("fgbench.mplstyle")
FORMATS = ("svg", "png")
LABELS = 16
"""Points that one figure can name; of more, those on the Pareto front are named and the others told by their look."""
CURVES = 7
"""Lines that one figure can show and still be read; also the length of the style's cycle."""
_REPRODUCIBLE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
Look = dict[str, Any]
_FRONT: Look = {"color": "#999999", "lw": 1, "ls": "-", "marker": ""}
_BAR: Look = {"color": "#555555", "ls": "none", "marker": "|", "ms": 8}
History = Callable[[str], pd.DataFrame | None]
"""Run id -> a row per epoch, as `ResultStore.history`."""


@contextmanager
def style() -> Iterator[None]:
    """The house style, for drawing and for saving; nothing outside the block is touched."""
    with matplotlib.rc_context(fname=STYLE):
        yield


def save(figure: Figure, folder: Path, stem: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes `folder/stem.<format>` for each format, whole or not at all."""
    paths = [folder / f"{stem}.{kind}" for kind in formats]
    with style():
        # Worked out once: with an engine in place every format would draw twice, first for the layout.
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine(None)
        for path in paths:
            kind = path.suffix[1:]
            write_whole(path, partial(figure.savefig, format=kind, metadata=_REPRODUCIBLE.get(kind)))
    return paths


def accuracy_against_throughput(rows: pd.DataFrame, title: str) -> Figure | None:
    """Rows of the head-to-head table of one dataset and protocol -> a figure, or None without a point to show.

    y: last-epoch top-1 (%) with its 95 % interval, a bare point for one seed. x: inference images/s of profile Runs,
    or, if no row has one, training images/s; only rows measured on the most common device are comparable.
    """
    rate, device, axis = _throughput(rows)
    shown = rows[rows[rate].notna() & rows["last_top1"].notna()]
    if shown.empty:
        return None
    hardware = shown[device].mode()
    if len(hardware):
        shown = shown[shown[device] == hardware[0]]
        axis = f"{axis} on {hardware[0]}"
    rates, accuracies = shown[rate].to_numpy(float), shown["last_top1"].to_numpy(float)
    with style():
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        axes = figure.add_subplot(title=one_line(title), xlabel=one_line(axis), ylabel="top-1 of the last epoch, %")
        front = _front(axes, rates, accuracies)
        looks = _looks(shown)
        marks = [_mark(axes, row, row[rate], look) for row, look in zip(shown.to_dict("records"), looks, strict=True)]
        _scale(axes, rates)
        crowded = len(shown) > LABELS
        _legend(figure, marks, dict(zip(shown["method"], looks, strict=True)) if crowded else {})
        if left_out := len(rows) - len(shown):
            note = f"{left_out} not shown: no such rate, or no accuracy"
            axes.text(0.99, 0.01, note, transform=axes.transAxes, ha="right", va="bottom", size=7, color="#555555")
        named = [
            pair
            for pair, leads in zip(zip(marks, labels(shown), strict=True), front, strict=True)
            if leads or not crowded
        ]
        place_labels(axes, *zip(*named, strict=True))
    return figure


def training_curves(groups: Sequence[Group], history: History, title: str) -> Figure | None:
    """Loss and test top-1 (%) over epochs: a line for the mean over seeds, a band from the lowest to the highest.

    Takes at most `CURVES` groups. None if no finished Run of theirs has a history.
    """
    names = labels(pd.DataFrame([group.names for group in groups]))
    with style():
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        looks = islice(cycle(matplotlib.rcParams["axes.prop_cycle"]), len(groups))
        for place, (group, name, look) in enumerate(zip(groups, names, looks, strict=True)):
            histories = [table for record in group.done if (table := history(record.id)) is not None]
            if histories:
                seeds = pd.concat(histories, keys=range(len(histories)), names=["seed"]).reset_index("seed")
                _curve(loss, seeds.assign(y=seeds["loss"]), place, look | {"label": name})
                _curve(accuracy, seeds.assign(y=100 * seeds["test_top1"]), place, look | {"label": name})
        if not loss.lines and not accuracy.lines:
            return None
        loss.set_ylabel("training loss")
        accuracy.set_ylabel("test top-1, %")
        for axes in (loss, accuracy):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        handles, texts = max(
            (axes.get_legend_handles_labels() for axes in (loss, accuracy)), key=lambda pair: len(pair[0])
        )
        figure.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), handlelength=3.2)
        figure.suptitle(one_line(title), x=0.01, ha="left", fontsize=10)
    return figure


def _throughput(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Columns of the rate and its device, and the words for the axis."""
    if rows["inference_images_per_s"].notna().any():
        return "inference_images_per_s", "profiled_on", "inference, images/s"
    return "training_images_per_s", "trained_on", "training end to end, images/s"


def _looks(rows: pd.DataFrame) -> list[Look]:
    """One look per method; its variants share it."""
    methods = sorted(rows["method"].map(str).unique())
    of = dict(zip(methods, cycle(matplotlib.rcParams["axes.prop_cycle"]), strict=False))
    return [of[str(method)] for method in rows["method"]]


def _mark(axes: Axes, row: dict[Any, Any], rate: float, look: Look) -> Mark:
    accuracy, color = row["last_top1"], look["color"]
    interval = pd.notna(row["last_top1_low"])
    mark = Mark(rate, accuracy, *((row["last_top1_low"], row["last_top1_high"]) if interval else (accuracy, accuracy)))
    if interval:
        reach = [[mark.y - mark.low], [mark.high - mark.y]]
        axes.errorbar(mark.x, mark.y, reach, fmt="none", ecolor=color, elinewidth=1, capsize=2.5)
    axes.plot(mark.x, mark.y, ls="none", marker=look["marker"], color=color, mec="white", mew=0.8, ms=8, zorder=3)
    return mark


def _front(axes: Axes, rates: np.ndarray, accuracies: np.ndarray) -> NDArray[np.bool_]:
    """Joins by steps the rows than which none is both faster and more accurate; returns which these are."""
    order = np.lexsort((-accuracies, -rates))
    best = np.maximum.accumulate(accuracies[order])
    on_front = np.r_[True, accuracies[order][1:] > best[:-1]]
    axes.step(rates[order][on_front], accuracies[order][on_front], where="post", zorder=1, **_FRONT)
    leads = np.zeros(len(rates), bool)
    leads[order[on_front]] = True
    return leads


def _legend(figure: Figure, marks: Sequence[Mark], methods: dict[str, Look]) -> None:
    """Below the axes, where no point can be: the lines, and the `methods` that their points alone do not name."""
    handles = [Line2D([], [], label="Pareto front", **_FRONT)]
    if any(mark.high > mark.low for mark in marks):
        handles.append(Line2D([], [], label="95 % interval over seeds", **_BAR))
    for method, look in sorted(methods.items()):
        handles.append(Line2D([], [], label=one_line(str(method)), **look | {"ls": "none"}))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _scale(axes: Axes, rates: np.ndarray) -> None:
    """Logarithmic where the rates span more than a factor of four; room for labels on either side."""
    if rates.max() > 4 * rates.min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15, y=0.12)


def _curve(axes: Axes, seeds: pd.DataFrame, place: int, look: Look) -> None:
    """Rows of several seeds' histories, `y` the value, NaN where an epoch was not evaluated; the `place`-th line."""
    known = seeds.dropna(subset="y")
    if known.empty:
        return
    by_epoch = known.groupby("epoch")["y"]
    mean = by_epoch.mean()
    # A marker now and then tells the lines apart in grey; at other epochs than the neighbour's, or they would hide it.
    step = max(1, len(mean) // 6)
    axes.plot(mean.index, mean, markevery=(place * step // CURVES, step), ms=4, mec="white", mew=0.4, **look)
    if known["seed"].nunique() > 1:
        axes.fill_between(mean.index, by_epoch.min(), by_epoch.max(), color=look["color"], alpha=0.15, lw=0)
