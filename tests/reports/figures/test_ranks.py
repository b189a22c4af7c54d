"""Critical-difference diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.figures.kinds.ranks import rank_diagram
from reports.figures.style import COLUMN, PAGE
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, trained
from tests.helpers.report_reader import asked_of, drawn, texts


def boxes(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right, top of each text that is seen."""
    figure.draw_without_rendering()
    seen = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    return [tuple(one.get_window_extent().extents) for one in seen]


def overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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


def test_a_hostile_name_is_text():
    figure = drawn(rank_diagram([HOSTILE, "b", "c"], [1, 2, 3], [], 1.0))
    figure.draw_without_rendering()
    assert "\x1b" not in texts(figure)
