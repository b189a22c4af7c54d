"""Accuracy against throughput: what is measured and where, what is named, and what is left out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from reports.cell_format import Row
from reports.evidence import Evidence
from reports.figures.placement import Mark, place_labels
from reports.figures.saving import save
from reports.figures.style import style
from reports.figures.throughput import _front, accuracy_against_throughput
from reports.tables.head_to_head import head_to_head
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, profiled, trained
from tests.helpers.report_reader import asked_of, drawn, texts


def crowded_rows() -> list[Row]:
    records = []
    for place, method in enumerate(("plain", "bilinear_cnn", "dfl_cnn", "ws_dan", "sef", "swinfc")):
        records += [trained(method, seed, 0.85 + place / 1000 + seed / 500) for seed in range(3)]
        records.append(profiled(method, 1000 + 10 * place))
    return list(head_to_head(Evidence(records)).rows)


def test_throughput_labels_do_not_collide():
    with style():
        figure = Figure(figsize=(5.6, 3.8))
        axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 10))
        marks = [Mark(5 + place / 10, 5 + place / 20, 4.5, 6) for place in range(6)]
        placed = place_labels(axes, marks, [f"method number {place}" for place in range(6)])
    boxes = [label.get_window_extent() for label in placed]
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_throughput_figure_says_what_it_measures_and_where():
    figure = drawn(accuracy_against_throughput(crowded_rows(), [], "cub100"))
    assert figure.axes[0].get_xlabel() == "inference, images/s on NVIDIA H200"
    unprofiled = drawn(accuracy_against_throughput(head_to_head(Evidence([trained("plain")])).rows, [], "cub100"))
    assert unprofiled.axes[0].get_xlabel() == "training end to end, images/s on NVIDIA H200"


def test_a_point_keeps_its_whole_name_where_another_has_no_rate():
    records = [
        trained("plain", variant="maps_4"),
        trained("plain", variant="maps_8"),
        profiled("plain", variant="maps_4"),
    ]
    figure = drawn(accuracy_against_throughput(head_to_head(Evidence(records)).rows, [], "cub100"))
    assert "plain maps_4" in texts(figure)


def test_throughput_figure_counts_the_rows_it_cannot_show():
    rows = head_to_head(Evidence([trained("plain"), profiled("plain"), trained("sef")])).rows
    figure = drawn(accuracy_against_throughput(rows, [], "cub100"))
    assert any("1 not shown" in text.get_text() for text in figure.axes[0].texts)


def test_a_crowded_figure_names_the_pareto_front_and_shows_the_rest_by_look():
    records = [trained("plain", variant=f"v{place}", top1=0.5 + place / 100) for place in range(20)]
    records += [profiled("plain", 3000 - place**2, variant=f"v{place}") for place in range(0, 20)]
    records += [trained("sef", top1=0.3), profiled("sef", 10)]
    figure = drawn(accuracy_against_throughput(head_to_head(Evidence(records)).rows, [], "cub100"))
    named = {text.get_text() for text in figure.axes[0].texts}
    assert "plain v19" in named
    assert "sef" not in named
    assert "sef" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_pareto_front_joins_rows_that_no_other_beats_in_both():
    with style():
        axes = Figure().add_subplot()
        _front(axes, np.array([100.0, 300, 200, 150]), np.array([90.0, 80, 79, 85]))
    (line,) = axes.lines
    assert list(zip(*line.get_data(orig=True), strict=True)) == [(300, 80), (150, 85), (100, 90)]


def test_no_front_is_drawn_through_rates_of_trainings_or_through_noise():
    seeds = [trained("plain", seed, training={"images_per_s": rate}) for seed, rate in enumerate((10.0, 90.0))]
    trainings = head_to_head(Evidence(seeds)).rows
    noisy = head_to_head(Evidence([trained("plain"), profiled("plain")])).rows
    steady = [{**row, "inference_images_per_s_low": 1990.0, "inference_images_per_s_high": 2010.0} for row in noisy]
    reasons = []
    for rows in (trainings, noisy, steady):
        figure = drawn(accuracy_against_throughput(rows, [], "cub100"))
        reasons.append(figure.legends[0].get_title().get_text())
        front = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
        assert bool(front) == (rows is steady)
    assert "trainings" in reasons[0]
    assert "a tenth" in reasons[1]


def test_labels_keep_off_the_bars_of_rates():
    with style():
        figure = Figure(figsize=(5.6, 3.8))
        axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 10))
        (label,) = place_labels(axes, [Mark(5, 5, 5, 5, left=0, right=10)], ["a name"])
    _, low = axes.transData.transform((5, 5))
    box = label.get_window_extent()
    assert box.y0 > low or box.y1 < low


def test_a_rate_has_its_lowest_and_highest_as_a_bar():
    seeds = [trained("plain", seed, training={"images_per_s": rate}) for seed, rate in enumerate((10.0, 90.0))]
    figure = drawn(accuracy_against_throughput(head_to_head(Evidence(seeds)).rows, [], "cub100"))
    bars = [path.vertices for one in figure.axes[0].collections for path in one.get_paths() if len(path.vertices) == 2]
    assert any(sorted(bar[:, 0]) == pytest.approx([10, 90]) for bar in bars)


def test_throughput_is_of_whole_methods(store: ResultStore):
    fill(store, [trained("sef"), trained("sef", variant="no_lmgm"), trained("ws_dan", variant="maps_4")], 20)
    (drawing,) = asked_of(store)["throughput"]
    assert sorted(row["variant"] for row in drawing.arguments[0]) == ["maps_4", "paper"]


def test_same_data_gives_the_same_svg_and_hostile_names_stay_text(tmp_path: Path):
    rows = head_to_head(Evidence([trained(HOSTILE)])).rows
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figure = drawn(accuracy_against_throughput(rows, [], HOSTILE))
        (path,) = save(figure, folder, "figure", ["svg"])
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert not [node for node in ElementTree.fromstring(written[0]).iter() if node.tag.endswith("script")]


def test_area_is_proportional_to_memory_and_a_hollow_point_has_none():
    records = [trained(method) for method in ("plain", "sef", "dfl_cnn")]
    records += [profiled("plain", 1000), profiled("sef", 1000), profiled("dfl_cnn", 1000)]
    memory = {"dfl_cnn": None, "plain": 2**33, "sef": 2**32}
    rows = [{**row, "inference_peak_memory": memory[row["method"]]} for row in head_to_head(Evidence(records)).rows]
    rows.sort(key=lambda row: row["method"])
    figure = drawn(accuracy_against_throughput(rows, [], "cub100"))
    hollow, large, small = [one for one in figure.axes[0].collections if isinstance(one, PathCollection)][-3:]
    assert large.get_sizes()[0] == pytest.approx(2 * small.get_sizes()[0])
    assert hollow.get_facecolor()[0][:3].tolist() == [1, 1, 1]
    assert "GiB" in texts(figure)


def test_rates_that_hardly_differ_are_not_spread_over_the_whole_width():
    records = [trained("plain"), trained("sef"), profiled("plain", 100), profiled("sef", 101)]
    figure = drawn(accuracy_against_throughput(head_to_head(Evidence(records)).rows, [], "cub100"))
    low, high = figure.axes[0].get_xlim()
    assert high - low > 30
