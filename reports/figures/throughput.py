"""Accuracy against throughput, with memory as the area of the points."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import multimode

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reports.cell_format import BUSY, STEADY, Row
from reports.figures.placement import Mark, place_labels
from reports.figures.style import DARK, GREY, SMALL, Look, entitle, in_bytes, log_axis, looks_of, note, style
from reports.groups import labels
from results.values.text import in_a_row

LABELS = 16
"""Most points that all have a label; of more, only those on the Pareto front have one, the others a legend entry."""
_FRONT: Look = {"color": GREY, "lw": 1, "ls": "-", "marker": ""}
_BAR: Look = {"color": DARK, "ls": "none", "marker": "|", "ms": 8}
_ENDS: Look = {"fmt": "none", "ecolor": DARK, "elinewidth": 0.9, "capsize": 2.5, "zorder": 2}
_BUSY_KEYS = {"inference_images_per_s": "profile_busy", "training_images_per_s": "training_busy"}
"""Column of a rate -> whether other work ran while it was measured."""
_AREA = 260.0
"""Square points of the marker with the most memory."""
_SMALLEST = 14.0
_PLAIN = 64.0
"""Square points of a marker whose memory is unknown."""


def accuracy_against_throughput(rows: Sequence[Row], order: Sequence[str], title: str) -> Figure | None:
    """Rows of the head-to-head table of one dataset and protocol -> a figure, or None without a point to show.

    y: last-epoch top-1 (%) with its 95 % interval, a bare point for one seed. x: inference images/s of profile Runs,
    or, if no row has one, training images/s, each with its lowest and highest; only rows measured on the most common
    device are shown. Area: peak memory of inference; hollow if it was not measured. `order` decides the methods' looks
    as in `looks_of`.
    """
    named: list[Row] = [{**row, "label": name} for row, name in zip(rows, labels(rows), strict=True)]  # among all rows
    rate, axis, shown = _shown(named)
    if not shown:
        return None
    rates, accuracies = _values(shown, rate), _values(shown, "last_top1")
    memory = _values(shown, "inference_peak_memory" if rate == "inference_images_per_s" else None)
    areas = _areas(memory)
    with style():
        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        axes = figure.add_subplot(xlabel=in_a_row(axis), ylabel="top-1 of the last epoch, %")
        why_no_front = _why_no_front(shown, rate)
        front = _front(axes, rates, accuracies, drawn=why_no_front is None)
        looks = looks_of([str(row["method"]) for row in shown], order)
        some_known = bool(np.isfinite(areas).any())
        marks = [
            _mark(axes, row, rate, look, area, some_known) for row, look, area in zip(shown, looks, areas, strict=True)
        ]
        _scale(axes, np.concatenate([_values(shown, key) for key in (rate, f"{rate}_low", f"{rate}_high")]))
        crowded = len(shown) > LABELS
        methods = {row["method"]: look for row, look in zip(shown, looks, strict=True)} if crowded else {}
        _legend(figure, marks, methods, _sizes(memory), why_no_front)
        if left_out := len(rows) - len(shown):
            note(axes, f"{left_out} not shown: no such rate, or no accuracy")
        labelled = [
            (mark, row["label"] + BUSY * bool(row[_BUSY_KEYS[rate]]))
            for mark, row, leads in zip(marks, shown, front, strict=True)
            if leads or not crowded
        ]
        entitle(figure, title)
        place_labels(axes, *zip(*labelled, strict=True))
    return figure


def shows_busy_rate(rows: Sequence[Row]) -> bool:
    """Whether a point in the figure of these rows has a rate with the mark `BUSY`."""
    rate, _, shown = _shown(rows)
    return any(row[_BUSY_KEYS[rate]] for row in shown)


def _shown(rows: Sequence[Row]) -> tuple[str, str, list[Row]]:
    """The column of the rate, the words for its axis, and the rows that have a point."""
    rate, device, axis = _throughput(rows)
    shown = [row for row in rows if row[rate] is not None and row["last_top1"] is not None]
    if devices := [row[device] for row in shown if row[device] is not None]:
        most_common = min(multimode(devices))
        shown = [row for row in shown if row[device] == most_common]
        axis = f"{axis} on {most_common}"
    return rate, axis, shown


def _throughput(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Columns of the rate and its device, and the words for the axis."""
    if any(row["inference_images_per_s"] is not None for row in rows):
        return "inference_images_per_s", "profiled_on", "inference, images/s"
    return "training_images_per_s", "trained_on", "training end to end, images/s"


def _why_no_front(shown: Sequence[Row], rate: str) -> str | None:
    """Why the rates are too uncertain for a Pareto front; None if they are not."""
    if rate == "training_images_per_s":
        return "no Pareto front: rates of trainings, whose hosts may have had other work"
    if any(row[f"{rate}_high"] > STEADY * row[f"{rate}_low"] for row in shown):
        return "no Pareto front: some rates vary by more than a tenth"
    return None


def _values(rows: Sequence[Row], key: str | None) -> NDArray[np.float64]:
    """A column `(N,)`; NaN where there is no value, and everywhere without a key."""
    return np.array([row[key] if key else None for row in rows], float)


def _areas(memory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square points of each marker, proportional to its memory; NaN where it is unknown."""
    largest = np.nanmax(memory, initial=0.0)
    return np.maximum(_AREA * memory / largest, _SMALLEST) if largest > 0 else np.full_like(memory, np.nan)


def _mark(axes: Axes, row: Row, rate: str, look: Look, area: float, some_known: bool) -> Mark:
    accuracy, color = row["last_top1"], look["color"]
    hollow = some_known and np.isnan(area)
    area = _PLAIN if np.isnan(area) else area
    interval = row["last_top1_low"] is not None
    ends = (row["last_top1_low"], row["last_top1_high"]) if interval else (accuracy, accuracy)
    mark = Mark(row[rate], accuracy, *ends, radius=float(np.sqrt(area)) / 2)
    if interval:
        reach = [[max(mark.y - mark.low, 0)], [max(mark.high - mark.y, 0)]]  # predictions may contradict the record
        axes.errorbar(mark.x, mark.y, reach, **_ENDS)
    slow, fast = row[f"{rate}_low"], row[f"{rate}_high"]
    if fast > slow:
        mark = mark._replace(left=slow, right=fast)
        reach = [[max(mark.x - slow, 0)], [max(fast - mark.x, 0)]]
        axes.errorbar(mark.x, mark.y, xerr=reach, **_ENDS)
    axes.scatter(
        [mark.x],
        [mark.y],
        area,
        marker=look["marker"],
        facecolor="white" if hollow else color,
        edgecolor=color if hollow else "white",
        linewidth=1.2 if hollow else 0.8,
        zorder=3,
    )
    return mark


def _front(axes: Axes, rates: np.ndarray, accuracies: np.ndarray, drawn: bool = True) -> NDArray[np.bool_]:
    """Which rows no other beats in both rate and accuracy, `(N,)`; joins them by steps if `drawn`."""
    order = np.lexsort((-accuracies, -rates))
    best = np.maximum.accumulate(accuracies[order])
    on_front = np.r_[True, accuracies[order][1:] > best[:-1]]
    if drawn:
        axes.step(rates[order][on_front], accuracies[order][on_front], where="post", zorder=1, **_FRONT)
    leads = np.zeros(len(rates), bool)
    leads[order[on_front]] = True
    return leads


def _sizes(memory: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Two round amounts of memory and their areas for the legend: the largest, and a quarter of it."""
    largest = float(np.nanmax(memory, initial=0.0))
    if not largest:
        return []
    unit, name = in_bytes(largest)
    amounts = dict.fromkeys(float(f"{share * largest / unit:.1g}") for share in (0.25, 1.0))
    return [(f"{amount:g} {name}", max(_AREA * amount * unit / largest, _SMALLEST)) for amount in amounts]


def _legend(
    figure: Figure,
    marks: Sequence[Mark],
    methods: dict[str, Look],
    sizes: Sequence[tuple[str, float]],
    why_no_front: str | None,
) -> None:
    """The legend below the axes: lines, sizes, and the `methods` whose points have no label."""
    handles = [] if why_no_front else [Line2D([], [], label="Pareto front", **_FRONT)]
    if any(mark.high > mark.low for mark in marks):
        handles.append(Line2D([], [], label="95 % interval", **_BAR))
    if any(mark.left is not None for mark in marks):
        handles.append(Line2D([], [], label="range of the rate", **_BAR | {"marker": "_"}))
    for text, area in sizes:
        ball: Look = {"color": GREY, "ls": "none", "marker": "o", "ms": float(np.sqrt(area)), "mew": 0}
        handles.append(Line2D([], [], label=f"memory {text}", **ball))
    for method, look in sorted(methods.items()):
        handles.append(Line2D([], [], label=in_a_row(str(method)), **look | {"ls": "none"}))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(3, max(1, len(handles))),
        labelspacing=0.9,
        handletextpad=0.9,
        title=why_no_front,
        title_fontsize=SMALL,
    )


def _scale(axes: Axes, rates: np.ndarray) -> None:
    """Logarithmic if the rates and their ranges span more than a factor of four; with room for labels on both sides.

    Rates that hardly differ are not spread over the whole width.
    """
    lowest, highest = np.nanmin(rates), np.nanmax(rates)
    if highest > 4 * lowest > 0:
        log_axis(axes, "x")
    axes.margins(x=0.15, y=0.12)
    middle = (highest + lowest) / 2
    left, right = axes.get_xlim()
    if highest < 1.5 * lowest:
        axes.set_xlim(min(0.8 * middle, left), max(1.2 * middle, right))
