"""Published accuracies beside ours: each experiment's number in its paper, replications by others, and our interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.cell_format import SOURCES, Row, alone
from reports.figures.colours import NEUTRAL, PAPER, QUIET
from reports.figures.looks import Look, Looks
from reports.figures.style import PAGE, TOP1, legend_below, new_figure, style
from reports.groups import labels
from reports.names import IDS, Names
from results.values.text import in_a_row

CAPTION = (
    "Published accuracies above and ours below, for each experiment that answers a published number: ours is the mean "
    "over seeds of the last epoch, with its 95 % interval. (n=1): one seed, which has no interval."
)
_APART = 0.15
"""Of a line's height, between its middle and the marks."""
BY_OTHERS = ("replication", "user report")
"""How the name of the table of a published value begins that is not the authors'."""


class Published(NamedTuple):
    """A value of the literature, in percent."""

    value: float
    by_others: bool
    """Whether it is a replication of the method."""
    read: bool
    """Whether it was read in its source, not recalled."""


@dataclass(frozen=True)
class Reproduction:
    """One experiment, or a read-out of it, and the published values that it answers. In percent."""

    name: str
    experiment: tuple[str, str]
    """Method and variant."""
    ours: float
    low: float | None
    high: float | None
    """Of the 95 % interval; None for one seed."""
    changed: bool
    """Whether our recipe was changed by hand, so that nothing is reproduced."""
    published: tuple[Published, ...]


def reproductions(rows: Sequence[Row], names: Names = IDS) -> list[Reproduction]:
    """From rows of the table `paper` on one dataset; those without a result of ours have nothing to compare."""
    together: dict[object, list[Row]] = {}
    for row in rows:
        if row["last_top1"] is not None:
            together.setdefault((row[SOURCES], row["readout"]), []).append(row)
    firsts = [names.row(several[0]) for several in together.values()]
    found = []
    for several, name in zip(together.values(), labels(firsts), strict=True):
        row = several[0]
        readout = f", {row['readout']}" if row["readout"] else ""
        found.append(
            Reproduction(
                name=f"{name}{readout}{alone(row['last_top1_n'])}",
                experiment=(row["method"], row["variant"]),
                ours=row["last_top1"],
                low=row["last_top1_low"],
                high=row["last_top1_high"],
                changed=bool(row["changed"]),
                published=tuple(map(_published, several)),
            )
        )
    return found


def published_and_ours(several: Sequence[Reproduction], looks: Looks) -> Figure | None:
    """A line per experiment, in the order given; None without any."""
    if not several:
        return None
    with style():
        figure = new_figure(PAGE, 0.9 + 0.28 * len(several))
        axes = figure.add_subplot(xlabel=TOP1)
        for down, one in enumerate(several):
            color = looks.color(one.experiment[0])
            for value, by_others, read in one.published:
                axes.plot(value, down - _APART, **(_OTHERS if by_others else _PAPER), **({} if read else _HOLLOW))
            if one.low is not None and one.high is not None:
                reach = [[max(one.ours - one.low, 0)], [max(one.high - one.ours, 0)]]  # predictions may contradict
                axes.errorbar(one.ours, down + _APART, xerr=reach, fmt="none", ecolor=color, elinewidth=1, capsize=2.5)
            axes.plot(one.ours, down + _APART, **_OURS | {"color": color} | (_HOLLOW if one.changed else {}))
        axes.set_yticks(np.arange(len(several)), [in_a_row(one.name) for one in several])
        axes.set_ylim(len(several) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        legend_below(figure, _handles(several))
    return figure


def _handles(several: Sequence[Reproduction]) -> list[Line2D]:
    """Of the marks that are there."""
    values = [value for one in several for value in one.published]
    changed = {one.changed for one in several}
    kinds = [
        ("ours, with its 95 % interval", _OURS, False in changed),
        ("ours, by a recipe changed by hand", _OURS | _HOLLOW, True in changed),
        ("published", _PAPER, any(not value.by_others for value in values)),
        ("replicated by others", _OTHERS, any(value.by_others for value in values)),
        ("hollow: recalled, not read", _PAPER | _HOLLOW, not all(value.read for value in values)),
    ]
    return [Line2D([], [], label=label, **look) for label, look, there in kinds if there]


def _published(row: Row) -> Published:
    by_others = str(row["published_table"]).lower().startswith(BY_OTHERS)
    return Published(row["published"], by_others, bool(row["published_verified"]))


_OURS: Look = {"color": NEUTRAL, "marker": "o", "ms": 5, "ls": "none"}
_PAPER: Look = {"color": QUIET, "marker": "D", "ms": 5, "ls": "none", "zorder": 1}
_OTHERS: Look = {"color": QUIET, "marker": "s", "ms": 3.5, "ls": "none", "zorder": 1}
_HOLLOW: Look = {"mfc": PAPER}
