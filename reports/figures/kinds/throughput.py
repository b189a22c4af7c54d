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
from reports.figures.colours import INK, NEUTRAL, PAPER
from reports.figures.looks import Look
from reports.figures.placement import Mark, place_labels
from reports.figures.style import COLUMN, PAGE, TOP1, in_bytes, legend_below, log_axis, new_figure, style

FEW = 6
"""Most labels that a column has room for."""
LABELS = 16
"""Most points that all have a label; of more, only those on the Pareto front have one, the others a legend entry."""
_FRONT: Look = {"color": NEUTRAL, "lw": 0.9, "ls": "-", "marker": ""}
_ENDS: Look = {"fmt": "none", "ecolor": INK, "elinewidth": 0.8, "capsize": 2, "zorder": 2}
_BUSY_KEYS = {"inference_images_per_s": "profile_busy", "training_images_per_s": "training_busy"}
"""Column of a rate -> whether other work ran while it was measured."""
_WORDS = {"inference_images_per_s": "inference, images/s", "training_images_per_s": "training end to end, images/s"}
"""Column of a rate -> the words on its axis."""
_AREA = 180.0
"""Square points of the marker with the most memory."""
_SMALLEST = 12.0
_PLAIN = 40.0
"""Square points of a marker whose memory is unknown."""


def accuracy_against_throughput(rows: Sequence[Row], names: Sequence[str], looks: Sequence[Look]) -> Figure | None:
    """Rows of the head-to-head table of one comparison, their names and looks -> a figure, or None without two points.

    y: last-epoch top-1 (%) with its 95 % interval, a bare point for one seed. x: inference images/s of profile Runs,
    or, if no row has one, training images/s, each with its lowest and highest; only rows measured on the most common
    device are shown. Area: peak memory of inference; hollow if it was not measured.
    """
    rate, _, places = _shown(rows)
    if len(places) < 2:
        return None
    shown = [rows[place] for place in places]
    known = [(names[place], looks[place]) for place in places]
    rates, accuracies = _values(shown, rate), _values(shown, "last_top1")
    memory = _values(shown, "inference_peak_memory" if rate == "inference_images_per_s" else None)
    areas = _areas(memory)
    with style():
        figure = new_figure(COLUMN if len(shown) <= FEW else PAGE, 2.9 if len(shown) <= FEW else 3.4)
        axes = figure.add_subplot(xlabel=_WORDS[rate], ylabel=TOP1)
        front = _front(axes, rates, accuracies, drawn=_why_no_front(shown, rate) is None)
        some_known = bool(np.isfinite(areas).any())
        marks = [
            _mark(axes, row, rate, look, area, some_known)
            for row, (_, look), area in zip(shown, known, areas, strict=True)
        ]
        _scale(axes, np.concatenate([_values(shown, key) for key in (rate, f"{rate}_low", f"{rate}_high")]), rate)
        crowded = len(shown) > LABELS
        labelled = front if crowded else np.ones(len(shown), bool)
        _legend(figure, [pair for pair, label in zip(known, labelled, strict=True) if not label], _sizes(memory))
        texts = [
            (name + BUSY * bool(row[_BUSY_KEYS[rate]])) * bool(label)
            for row, (name, _), label in zip(shown, known, labelled, strict=True)
        ]
        place_labels(axes, marks, texts)
    return figure


def caption(rows: Sequence[Row]) -> str:
    """What the figure of these rows shows, in sentences."""
    rate, device, places = _shown(rows)
    shown = [rows[place] for place in places]
    sentences = [f"Last-epoch top-1 against {_WORDS[rate].partition(',')[0]} rate" + f" on {device}" * bool(device)]
    if any(row["last_top1_low"] is not None for row in shown):
        sentences.append("Vertical bars: 95 % interval of the mean over seeds")
    if any(row["last_top1_low"] is None for row in shown):
        sentences.append("Points without a vertical bar: one seed")
    if any(row[f"{rate}_high"] > row[f"{rate}_low"] for row in shown):
        sentences.append("Horizontal bars: range of the rate")
    if rate == "inference_images_per_s" and any(row["inference_peak_memory"] is not None for row in shown):
        sentences.append("Area: peak memory of inference; hollow: not measured")
    sentences.append(_why_no_front(shown, rate) or "Grey line: Pareto front")
    if left_out := len(rows) - len(shown):
        sentences.append(f"{left_out} not shown: no such rate, or no accuracy")
    return ". ".join(sentences) + "."


def shows_busy_rate(rows: Sequence[Row]) -> bool:
    """Whether a point in the figure of these rows has a rate with the mark `BUSY`."""
    rate, _, places = _shown(rows)
    return any(rows[place][_BUSY_KEYS[rate]] for place in places)


def _shown(rows: Sequence[Row]) -> tuple[str, str, list[int]]:
    """The column of the rate, the device on which it was measured, and the places of the rows that have a point."""
    if any(row["inference_images_per_s"] is not None for row in rows):
        rate, device = "inference_images_per_s", "profiled_on"
    else:
        rate, device = "training_images_per_s", "trained_on"
    places = [at for at, row in enumerate(rows) if row[rate] is not None and row["last_top1"] is not None]
    devices = [rows[place][device] for place in places if rows[place][device] is not None]
    if not devices:
        return rate, "", places
    most_common = min(multimode(devices))
    return rate, str(most_common), [place for place in places if rows[place][device] == most_common]


def _why_no_front(shown: Sequence[Row], rate: str) -> str | None:
    """Why the rates are too uncertain for a Pareto front; None if they are not."""
    if rate == "training_images_per_s":
        return "No Pareto front: rates of trainings, whose hosts may have had other work"
    if any(row[f"{rate}_high"] > STEADY * row[f"{rate}_low"] for row in shown):
        return "No Pareto front: some rates vary by more than a tenth"
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
        facecolor=PAPER if hollow else color,
        edgecolor=color if hollow else PAPER,
        linewidth=1.1 if hollow else 0.6,
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


def _legend(figure: Figure, methods: Sequence[tuple[str, Look]], sizes: Sequence[tuple[str, float]]) -> None:
    """The legend below the axes: sizes, and the `methods` whose points have no label."""
    handles = []
    for text, area in sizes:
        ball: Look = {"color": NEUTRAL, "ls": "none", "marker": "o", "ms": float(np.sqrt(area)), "mew": 0}
        handles.append(Line2D([], [], label=f"memory {text}", **ball))
    for name, look in methods:
        handles.append(Line2D([], [], label=name, **look | {"linestyle": "none"}))
    if handles:
        legend_below(figure, handles, labelspacing=0.9, handletextpad=0.9)


def _scale(axes: Axes, rates: np.ndarray, rate: str) -> None:
    """Logarithmic if the rates and their ranges span more than a factor of four; with room for labels on both sides.

    Rates that hardly differ are not spread over the whole width.
    """
    lowest, highest = np.nanmin(rates), np.nanmax(rates)
    if highest > 4 * lowest > 0:
        log_axis(axes, "x", _WORDS[rate])
    axes.margins(x=0.15, y=0.12)
    middle = (highest + lowest) / 2
    left, right = axes.get_xlim()
    if highest < 1.5 * lowest:
        axes.set_xlim(min(0.8 * middle, left), max(1.2 * middle, right))
