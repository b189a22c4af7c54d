"""Figures over several datasets, over the hours of a device, and of published accuracies beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.evidence import Evidence
from reports.figures.kinds.published import Published, published_and_ours, reproductions
from reports.figures.kinds.ranks import rank_diagram
from reports.figures.kinds.training_time import Spent, accuracy_over_time
from reports.figures.looks import Looks
from reports.figures.style import COLUMN, PAGE
from reports.tables.cost.training_time import Course
from reports.tables.published import published
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, trained
from tests.helpers.report_reader import asked_of, drawn, texts

LOOK = {"color": "#175ad3", "marker": "o", "linestyle": "-"}


def boxes(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right, top of each text that is seen."""
    figure.draw_without_rendering()
    seen = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    return [tuple(one.get_window_extent().extents) for one in seen]


def overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


# Ranks


@pytest.mark.parametrize("methods", [3, 4, 11, 22])
@pytest.mark.parametrize("critical", [None, 1.2, 40.0])
def test_no_label_of_a_rank_diagram_covers_another_or_leaves_it(methods: int, critical: float | None):
    ranks = np.linspace(1, methods, methods) ** 0.5
    figure = drawn(rank_diagram([f"method {place}" for place in range(methods)], ranks, [(0, 1), (1, 2)], critical))
    found = boxes(figure)
    assert not [pair for pair in combinations(found, 2) if overlap(*pair)]
    width, height = figure.bbox.size
    assert all(left >= 0 and low >= 0 and right <= width and top <= height for left, low, right, top in found)


def test_names_that_leave_no_room_for_the_axis_take_a_page():
    assert drawn(rank_diagram(["sef", "cal", "plain"], [1, 2, 3], [], None)).get_figwidth() == COLUMN
    assert drawn(rank_diagram(["a rather long name", "cal", "plain"], [1, 2, 3], [], None)).get_figwidth() == PAGE
    assert drawn(rank_diagram([HOSTILE * 9, "cal", "plain"], [1, 2, 3], [], None)).get_figwidth() == PAGE


def test_bars_and_the_critical_difference_are_to_the_scale_of_the_axis():
    ranks = [1.0, 2.0, 3.0, 4.0]
    figure = drawn(rank_diagram(["a", "b", "c", "d"], ranks, [(0, 2), (2, 3)], 1.5))
    lines = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    reach = [abs(ends[1] - ends[0]) for ends in lines]
    axis = max(reach)  # from rank 1 to rank 4
    assert any(one == pytest.approx(axis / 2) for one in reach), "1.5 of 3 ranks"
    assert {round((one - 0.08) / axis * 3, 6) for one in reach} >= {2, 1}, "bars reach a little beyond their ends"
    assert "critical difference 1.50" in texts(figure)
    assert "c (3.00)" in texts(figure)


def on_datasets(count: int, **changes: Any) -> list[Record]:
    top1 = {"plain": 0.6, "sef": 0.7, "cal": 0.8}
    return [
        trained(method, top1=value, dataset=f"data{place}", images_sha256=str(place) * 64, **changes)
        for method, value in top1.items()
        for place in range(count)
    ]


@pytest.mark.parametrize(("count", "expected"), [(3, 0), (4, 1)])
def test_ranks_are_drawn_from_four_datasets_on(store: ResultStore, count: int, expected: int):
    fill(store, on_datasets(count))
    found = asked_of(store).get("ranks", [])
    assert len(found) == expected
    for one in found:
        figure = drawn(one.draw(*one.arguments))
        assert "cal (1.00)" in texts(figure)
        assert "p = 0.005" in one.caption
        assert "data0, data1, data2, data3" in one.caption


# Training time


def course(hours: Sequence[float], top1: Sequence[float]) -> Course:
    values = np.array(top1)
    return Course(np.array(hours), values, values - 1, values + 1)


def test_a_training_is_a_line_or_a_point_over_its_time():
    several = [Spent("plain", course([1, 2], [60, 70]), LOOK), Spent("sef", course([3], [80]), LOOK)]
    axes = drawn(accuracy_over_time(several, "GPU-hours on NVIDIA H200")).axes[0]
    line, point = axes.lines[:2]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2], [60, 70])
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([3], [80])
    assert point.get_linestyle() == "None"
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlabel() == "GPU-hours on NVIDIA H200"


def test_short_trainings_are_told_in_minutes():
    several = [Spent("plain", course([0.1, 0.2], [60, 70]), LOOK)]
    axes = drawn(accuracy_over_time(several, "CPU hours on AMD EPYC, 1 thread")).axes[0]
    assert list(axes.lines[0].get_xdata()) == pytest.approx([6, 12])
    assert axes.get_xlabel() == "CPU minutes on AMD EPYC, 1 thread"


def test_trainings_on_another_device_are_named_and_not_drawn(store: ResultStore):
    fill(store, [trained("plain"), trained("sef"), trained("cal", hardware={"device": "cuda", "name": "NVIDIA T4"})])
    (found,) = asked_of(store)["training_time"]
    shown = texts(drawn(found.draw(*found.arguments)))
    assert "plain" in shown
    assert "sef" in shown
    assert "cal" not in shown
    assert "not known: cal." in found.caption
    assert not found.busy


def test_a_training_that_shared_its_device_has_the_mark(store: ResultStore):
    shared = {"seconds": 500.0, "parallel": 2}
    fill(store, [trained("plain"), trained("sef", training=shared)])
    (found,) = asked_of(store)["training_time"]
    assert "sef*" in texts(drawn(found.draw(*found.arguments)))
    assert "*" in found.caption


def test_one_experiment_has_no_figure_of_its_time(store: ResultStore):
    fill(store, [trained("plain")])
    assert "training_time" not in asked_of(store)


# Published and ours


def row(value: float, table: str = "Table 1", verified: bool = True) -> dict[str, Any]:
    return {"table": table, "value": value, "variant": "x", "source": "y", "verified": verified, "input_size": 448}


def paper(method: str, rows: Sequence[dict[str, Any]], seeds: int = 2, **changes: Any) -> list[Record]:
    return [
        trained(method, seed, 0.8 + seed / 100, protocol="paper", published=rows, **changes) for seed in range(seeds)
    ]


def test_a_line_has_what_was_published_and_replicated_and_ours():
    rows = [row(87.3), row(86.0, "replication of ours", False), row(85.5, "User report")]
    table = published(
        Evidence([*paper("sef", rows), *paper("cal", [row(90.0)], 1, changed=["epochs: 2 in place of 160"])])
    )
    cal, sef = reproductions(table.rows)
    assert sef.published == (Published(87.3, False, True), Published(86.0, True, False), Published(85.5, True, True))
    assert (sef.ours, cal.name, cal.changed) == (pytest.approx(80.5), "cal (n=1)", True)
    axes = drawn(published_and_ours([cal, sef], Looks.of([cal.experiment, sef.experiment]))).axes[0]
    values = {round(float(line.get_xdata()[0]), 6) for line in axes.lines if len(line.get_xdata()) == 1}
    assert values >= {87.3, 86.0, 85.5, 80.5, 80.0, 90.0}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cal (n=1)", "sef"]


def test_published_values_without_a_result_of_ours_are_not_drawn(store: ResultStore):
    failed = [one.model_copy(update={"status": "failed", "metrics": {}}) for one in paper("cal", [row(90.0)])]
    fill(store, [*failed, *paper("sef", [row(87.0)])])
    (found,) = asked_of(store)["published"]
    assert "cal" not in texts(drawn(found.draw(*found.arguments)))
    assert published_and_ours([], Looks(())) is None


def test_names_are_text_in_these_figures():
    several = [Spent(HOSTILE, course([1, 2], [60, 70]), LOOK)]
    table = published(Evidence(paper(HOSTILE, [row(87.0)])))
    for figure in (
        rank_diagram([HOSTILE, "b", "c"], [1, 2, 3], [], 1.0),
        accuracy_over_time(several, HOSTILE),
        published_and_ours(reproductions(table.rows), Looks.of([(HOSTILE, "paper")])),
    ):
        drawn(figure).draw_without_rendering()
        assert "\x1b" not in texts(drawn(figure))
