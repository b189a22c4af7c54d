"""Accuracy over the hours of a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from reports.figures.kinds.training_time import Spent, accuracy_over_time
from reports.tables.cost.training_time import Course
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, trained
from tests.helpers.report_reader import asked_of, drawn, texts

LOOK = {"color": "#175ad3", "marker": "o", "linestyle": "-"}


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


def test_seeds_on_another_device_are_not_counted(store: ResultStore):
    elsewhere = trained("sef", seed=1, hardware={"device": "cuda", "name": "NVIDIA T4"})
    fill(store, [trained("plain"), trained("sef"), elsewhere])
    (found,) = asked_of(store)["training_time"]
    assert found.caption.endswith("1 seed each.")


def test_a_training_that_shared_its_device_has_the_mark(store: ResultStore):
    shared = {"seconds": 500.0, "parallel": 2}
    fill(store, [trained("plain"), trained("sef", training=shared)])
    (found,) = asked_of(store)["training_time"]
    assert "sef*" in texts(drawn(found.draw(*found.arguments)))
    assert "*" in found.caption


def test_one_experiment_has_no_figure_of_its_time(store: ResultStore):
    fill(store, [trained("plain")])
    assert "training_time" not in asked_of(store)


def test_hostile_names_are_text():
    figure = drawn(accuracy_over_time([Spent(HOSTILE, course([1, 2], [60, 70]), LOOK)], HOSTILE))
    figure.draw_without_rendering()
    assert "\x1b" not in texts(figure)
