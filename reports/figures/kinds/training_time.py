"""Accuracy over the time that a training had its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.colours import PAPER
from reports.figures.looks import Look
from reports.figures.style import COLUMN, TOP1, legend_below, new_figure, style
from reports.tables.cost.training_time import Course
from results.values.text import in_a_row

CAPTION = (
    "Top-1 accuracy on the test images over the time that the steps of a training took, without evaluations, "
    "checkpoints and compiling: mean over seeds. Bands and bars reach from the lowest to the highest seed. A training "
    "that was evaluated once is a point."
)

SHORT = 0.5
"""Hours of the longest training below which the axis has minutes."""


class Spent(NamedTuple):
    """One experiment."""

    name: str
    course: Course
    look: Look


def accuracy_over_time(several: Sequence[Spent], unit: str) -> Figure | None:
    """Test top-1 (%) over hours: a line where an experiment was evaluated more than once, else a point; None without
    any."""
    if not several:
        return None
    short = max(one.course.hours[-1] for one in several) < SHORT
    times = [one.course.hours * (60 if short else 1) for one in several]
    with style():
        figure = new_figure(COLUMN, 2.3 + 0.16 * len(several))
        axes = figure.add_subplot(xlabel=in_a_row(unit.replace("hours", "minutes") if short else unit), ylabel=TOP1)
        for time, (_, course, look) in zip(times, several, strict=True):
            if len(time) > 1:
                axes.plot(time, course.top1, mec=PAPER, mew=0.4, **look)
                axes.fill_between(time, course.low, course.high, color=look["color"], alpha=0.15, lw=0)
            else:
                reach = [course.top1 - course.low, course.high - course.top1]
                axes.errorbar(time, course.top1, reach, capsize=2.5, **look | {"linestyle": "none"})
        axes.set_xlim(left=0)
        legend_below(figure, [Line2D([], [], label=one.name, **_key(one)) for one in several])
    return figure


def _key(one: Spent) -> Look:
    return one.look if len(one.course.hours) > 1 else one.look | {"linestyle": "none"}
