"""Accuracy against throughput: what is measured and where, what is named, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from reports.cell_format import Row
from reports.evidence import Evidence
from reports.figures.kinds.throughput import accuracy_against_throughput, caption
from reports.figures.placement import Mark, place_labels
from reports.figures.saving import save
from reports.figures.style import style
from reports.groups import labels
from reports.tables.head_to_head import head_to_head
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, profiled, trained
from tests.helpers.report_reader import asked_of, drawn, looks_of, texts


def figure_of(rows: Sequence[Row]) -> Figure:
    return drawn(accuracy_against_throughput(rows, labels(rows), looks_of(*(row["method"] for row in rows))))


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
    rows = crowded_rows()
    assert figure_of(rows).axes[0].get_xlabel() == "inference, images/s"
    assert "against inference rate on NVIDIA H200" in caption(rows)
    unprofiled = head_to_head(Evidence([trained("plain"), trained("sef")])).rows
    assert figure_of(unprofiled).axes[0].get_xlabel() == "training end to end, images/s"
    assert "against training end to end rate on NVIDIA H200" in caption(unprofiled)


def test_a_point_keeps_its_whole_name_where_another_has_no_rate():
    records = [
        trained("plain", variant="maps_4"),
        trained("plain", variant="maps_8"),
        profiled("plain", variant="maps_4"),
        trained("sef"),
        profiled("sef"),
    ]
    figure = figure_of(head_to_head(Evidence(records)).rows)
    assert "plain maps_4" in texts(figure)


def test_throughput_figure_counts_the_rows_it_cannot_show():
    rows = head_to_head(Evidence([trained("plain"), profiled("plain"), trained("sef")])).rows
    assert "1 not shown: no such rate, or no accuracy." in caption(rows)
    assert accuracy_against_throughput(rows, labels(rows), looks_of("plain", "sef")) is None, "one point says nothing"


def test_a_crowded_figure_names_the_pareto_front_and_shows_the_rest_by_look():
    records = [trained("plain", variant=f"v{place}", top1=0.5 + place / 100) for place in range(20)]
    records += [profiled("plain", 3000 - place**2, variant=f"v{place}") for place in range(0, 20)]
    records += [trained("sef", top1=0.3), profiled("sef", 10)]
    figure = figure_of(head_to_head(Evidence(records)).rows)
    named = {text.get_text() for text in figure.axes[0].texts}
    assert "plain v19" in named
    assert "sef" not in named
    assert "sef" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_pareto_front_joins_rows_that_no_other_beats_in_both():
    points = {"a": (100.0, 0.90), "b": (300.0, 0.80), "c": (200.0, 0.79), "d": (150.0, 0.85)}
    records = [trained(name, top1=top1) for name, (_, top1) in points.items()]
    records += [profiled(name, rate) for name, (rate, _) in points.items()]
    rows = [steady(row) for row in head_to_head(Evidence(records)).rows]
    (line,) = [line for line in figure_of(rows).axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert list(zip(*line.get_data(orig=True), strict=True)) == [(300, 80), (150, 85), (100, 90)]


def steady(row: Row) -> Row:
    """The row, its rate without noise."""
    rate = row["inference_images_per_s"]
    return {**row, "inference_images_per_s_low": rate, "inference_images_per_s_high": rate}


def test_no_front_is_drawn_through_rates_of_trainings_or_through_noise():
    records = [trained("plain"), trained("sef")]
    trainings = head_to_head(Evidence(records)).rows
    noisy = head_to_head(Evidence([*records, profiled("plain"), profiled("sef", 900)])).rows
    sure = list(map(steady, noisy))
    for rows, told in (
        (trainings, "No Pareto front: rates of trainings"),
        (noisy, "No Pareto front: some rates vary by more than a tenth"),
        (sure, "Grey line: Pareto front"),
    ):
        front = [line for line in figure_of(rows).axes[0].lines if line.get_drawstyle() == "steps-post"]
        assert bool(front) == (rows is sure)
        assert told in caption(rows)


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
    figure = figure_of(head_to_head(Evidence([*seeds, trained("sef")])).rows)
    bars = [path.vertices for one in figure.axes[0].collections for path in one.get_paths() if len(path.vertices) == 2]
    assert any(sorted(bar[:, 0]) == pytest.approx([10, 90]) for bar in bars)


def test_throughput_is_of_whole_methods(store: ResultStore):
    fill(store, [trained("sef"), trained("sef", variant="no_lmgm"), trained("ws_dan", variant="maps_4")], 20)
    (drawing,) = asked_of(store)["throughput"]
    assert sorted(row["variant"] for row in drawing.arguments[0]) == ["maps_4", "paper"]


def test_same_data_gives_the_same_svg_and_hostile_names_stay_text(tmp_path: Path):
    rows = head_to_head(Evidence([trained(HOSTILE), trained("plain")])).rows
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figure = figure_of(rows)
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
    figure = figure_of(rows)
    hollow, large, small = [one for one in figure.axes[0].collections if isinstance(one, PathCollection)][-3:]
    assert large.get_sizes()[0] == pytest.approx(2 * small.get_sizes()[0])
    assert hollow.get_facecolor()[0][:3].tolist() == [1, 1, 1]
    assert "GiB" in texts(figure)


def test_rates_that_hardly_differ_are_not_spread_over_the_whole_width():
    records = [trained("plain"), trained("sef"), profiled("plain", 100), profiled("sef", 101)]
    figure = figure_of(head_to_head(Evidence(records)).rows)
    low, high = figure.axes[0].get_xlim()
    assert high - low > 30
