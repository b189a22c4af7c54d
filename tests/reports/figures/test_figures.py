"""Figures show what the numbers say, name what they show, and say what they leave out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from reports.figures.kinds.ablation import gain_bars
from reports.figures.kinds.calibration import reliability
from reports.figures.kinds.curves import LOSS, Curve, accuracy_curves, loss_panels
from reports.figures.kinds.gains import PALE, Gain, gain_cells
from reports.figures.kinds.per_class import balance, per_class_difference
from reports.figures.kinds.profile import MemoryUse, Rate, batch_sweep, memory_by_phase
from reports.figures.kinds.roofline import Work, roofline
from reports.figures.looks import Looks
from reports.figures.style import CURVES
from results.speed import Limits
from results.store import ResultStore
from results.stored_tables import Columns
from tests.helpers.fakes.fake_results import HOSTILE, columns, fill, history, predictions, profiled, trained
from tests.helpers.report_reader import asked_of, drawn, looks_of, texts

# Training curves


def curve(name: str, *histories: Columns | None) -> Curve:
    return Curve(name, [one for one in histories if one is not None], *looks_of(name))


def test_training_curves_are_mean_and_range_over_seeds(store: ResultStore):
    records = [trained("plain", seed, 0.8) for seed in range(2)]
    fill(store, records)
    figure = drawn(accuracy_curves([curve("plain", *(store.history_columns(record.id) for record in records))]))
    mean = 100 * (history(0)["test_top1"] + history(1)["test_top1"]) / 2
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(mean.to_numpy())
    assert len(figure.axes[0].collections) == 1


def test_epochs_without_evaluation_leave_no_hole_in_a_curve():
    table = history()
    table.loc[[0, 2, 4], "test_top1"] = np.nan
    figure = drawn(accuracy_curves([curve("plain", columns(table))]))
    assert len(figure.axes[0].lines[0].get_xdata()) == 7
    assert not figure.axes[0].collections


def test_an_experiment_that_was_evaluated_once_has_no_curve():
    once = history()
    once.loc[:8, "test_top1"] = np.nan
    curves = [curve("once", columns(once)), curve("always", columns(history()))]
    (axes,) = drawn(accuracy_curves(curves)).axes
    assert len(axes.lines) == 1
    assert all(tick == round(tick) for tick in axes.get_xticks())
    assert accuracy_curves(curves[:1]) is None
    assert loss_panels(curves[:1]) is not None, "a loss is known after each epoch"


def test_each_loss_has_an_axis_of_its_own():
    large = history()
    large[LOSS] *= 100
    small, other = drawn(loss_panels([curve("plain", columns(history())), curve("sef", columns(large))])).axes
    assert other.get_ylim()[1] > 50 * small.get_ylim()[1]
    assert [axes.get_title(loc="left") for axes in (small, other)] == ["plain", "sef"]


# Gains by backbone


def test_gains_are_told_in_their_cells_and_significant_ones_framed():
    cells = [[Gain(2.6, True, ""), None], [Gain(-1.9, False, " (n=1)"), Gain(-0.04, False, "")]]
    figure = drawn(gain_cells(["sef", "cal"], ["resnet50: IN-1k", "vgg16: unknown"], cells))
    axes = figure.axes[0]
    where = {text.get_text(): tuple(map(math.floor, text.get_position())) for text in axes.texts}
    assert where == {"+2.6": (0, 0), "−1.9 (n=1)": (0, 1), "+0.0": (1, 1)}
    (frame,) = (patch for patch in axes.patches if isinstance(patch, Rectangle))
    assert tuple(map(math.floor, frame.get_center())) == (0, 0)
    (mesh,) = axes.collections
    shown = np.ma.filled(mesh.get_array(), np.nan)
    assert shown[0, 0] == 2.6
    assert np.isnan(shown[0, 1])
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-2.6 * PALE, 2.6 * PALE), "zero is in the middle"


def test_without_gains_there_is_no_figure():
    assert gain_cells([], [], []) is None
    assert gain_cells(["sef"], ["vgg16: unknown"], [[None]]) is None


@pytest.mark.parametrize(("others", "expected"), [(["resnet50", "vgg16"], 1), (["resnet50"], 0)])
def test_gains_are_drawn_where_methods_met_on_several_backbones(store: ResultStore, others: list[str], expected: int):
    records = [trained(method, backbone=backbone) for backbone in others for method in ("plain", "sef")]
    fill(store, records, 50)
    found = asked_of(store).get("gains", [])
    assert len(found) == expected
    for drawing in found:
        figure = drawn(drawing.draw(*drawing.arguments))
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["sef"]
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [
            "resnet50\nunknown",
            "vgg16\nunknown",
        ]


# Looks and names


def test_a_method_has_one_look_in_all_figures_of_a_report():
    looks = Looks.of([("sef", "released"), ("plain", "paper"), ("bilinear_cnn", "paper"), ("sef", "paper")])
    (alone,), (_, with_plain) = (
        looks.together([("sef", "paper")]),
        looks.together([("plain", "paper"), ("sef", "paper")]),
    )
    whole, variant = looks.together([("sef", "paper"), ("sef", "released")])
    assert alone == with_plain == whole
    assert variant["color"] not in {whole["color"], looks.color("plain"), looks.color("bilinear_cnn")}


def test_a_variant_that_stands_alone_in_its_part_of_the_figures_keeps_its_whole_name(store: ResultStore):
    fill(store, [trained("ws_dan", variant=f"maps_{place}") for place in range(CURVES + 1)], 20)
    for kind in ("curves", "calibration"):
        _, last = asked_of(store)[kind]
        assert [one[0] for one in last.arguments[0]] == [f"ws_dan maps_{CURVES}"]


def test_no_two_of_many_methods_look_alike_as_lines_or_as_points():
    looks = looks_of("plain", *(f"method {place}" for place in range(21)))
    for key in ("marker", "linestyle"):
        assert len({(look["color"], str(look[key])) for look in looks}) == len(looks)


def test_neighbours_differ_in_grey_too():
    looks = looks_of("plain", "sef", "ws_dan", "x", "y")
    for key in ("marker", "linestyle"):
        assert len({str(look[key]) for look in looks}) == len(looks)


def test_one_experiment_that_stands_twice_in_a_figure_has_two_looks():
    first, second = Looks(("sef",)).together([("sef", "paper")] * 2)
    assert first["color"] == second["color"]
    assert first["marker"] != second["marker"]


# Classes


def test_per_class_difference_counts_classes_and_names_the_ends():
    labels = np.repeat(np.arange(20), 10)
    difference = np.where(labels == 3, 1.0, 0.0) - np.where(labels == 7, 0.5, 0.0)
    names = [f"bird {label}" for label in range(20)]
    figure = drawn(per_class_difference(difference, labels, names, ("ws_dan", HOSTILE)))
    assert "ws_dan better" in texts(figure)
    told = "ws_dan is better in 1 classes, sef in 1; in 18 they are equal."
    assert balance(difference, labels, ("ws_dan", "sef")) == told
    ends = [tick.get_text() for tick in figure.axes[1].get_yticklabels()]
    assert (ends[0], ends[-1]) == ("bird 7 (10)", "bird 3 (10)")


def test_methods_that_differ_by_chance_stay_within_the_band_of_equal_ones():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(50), 30)
    difference = random.integers(-1, 2, len(labels)).astype(float)
    figure = drawn(per_class_difference(difference, labels, [], ("a", "b")))
    band, points = figure.axes[0].collections[:2]
    edges = band.get_paths()[0].vertices
    values = points.get_offsets()[:, 1]
    inside = [
        edges[np.abs(edges[:, 0] - rank) < 0.6][:, 1].min() - 1e-9
        <= value
        <= edges[np.abs(edges[:, 0] - rank) < 0.6][:, 1].max() + 1e-9
        for rank, value in enumerate(values, 1)
    ]
    assert np.mean(inside) > 0.9


def test_one_class_has_no_differences():
    assert per_class_difference(np.ones(5), np.zeros(5, int), ["a"], ("a", "b")) is None


def test_confused_pairs_are_ordered_by_the_share_of_their_class(store: ResultStore):
    record = trained("plain", split={"class_names": ["gull", "tern", "crow"]})
    labels, guess = [0] * 10 + [1] * 4 + [2] * 6, [1] * 3 + [0] * 7 + [0] * 2 + [1] * 2 + [2] * 6
    table = predictions(np.ones(20, bool)).assign(label=labels, prediction=guess)
    store.write(record, history(), table)
    (drawing,) = asked_of(store)["confused"]
    pairs = [(one.label, one.prediction, one.share, one.of) for one in drawing.arguments[0]]
    assert pairs == [("tern", "gull", 0.5, 4), ("gull", "tern", 0.3, 10)]


def test_a_method_without_a_mistake_confuses_nothing(store: ResultStore):
    store.write(trained("plain"), history(), predictions(np.ones(20, bool)))
    (drawing,) = asked_of(store)["confused"]
    assert drawing.draw(*drawing.arguments) is None


def test_classes_are_compared_to_the_baseline(store: ResultStore):
    records = [trained("sef", top1=0.95), trained("dfl_cnn", top1=0.9), trained("plain", top1=0.5)]
    fill(store, records, 200)
    (drawing,) = asked_of(store)["per_class"]
    assert drawing.arguments[3] == ("sef", "plain")


def test_classes_are_those_of_whole_methods_and_not_of_the_variant_that_the_test_set_likes_best(store: ResultStore):
    fill(
        store, [trained("sef", top1=0.8), trained("sef", top1=0.95, variant="no_lmgm"), trained("plain", top1=0.5)], 99
    )
    asked = asked_of(store)
    assert asked["per_class"][0].arguments[3] == ("sef", "plain")
    assert asked["confused"][0].heading.startswith("sef, ")


# Calibration


def test_calibration_error_in_the_legend_is_that_of_the_records():
    confidence = np.array([0.95] * 10 + [0.55] * 10, np.float32)
    right = np.array([True] * 9 + [False] + [True] * 8 + [False] * 2)
    # |0.9 - 0.95| and |0.8 - 0.55|, each of half of the images.
    figure = drawn(reliability([("plain", [(confidence, right)] * 2)], looks_of("plain")))
    assert "plain (15.0 %)" in texts(figure)


def test_bins_of_a_few_images_are_not_drawn():
    confidence = np.r_[np.full(50, 0.9), np.full(5, 0.2)]
    figure = drawn(reliability([("plain", [(confidence, confidence > 0.5)])], looks_of("plain")))
    assert len(figure.axes[0].lines[-1].get_xdata()) == 1


def test_a_legend_of_long_names_stays_within_the_figure():
    confidence = np.linspace(0, 1, 50)
    names = [f"ws_dan a_variant_with_a_long_name_{place}" for place in range(7)]
    figure = drawn(reliability([(name, [(confidence, confidence > 0.5)]) for name in names], looks_of(*names)))
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


# Ablation


def test_a_bar_is_full_only_where_the_difference_is_shown():
    interval = {"difference": 3.0, "difference_low": 1.0, "difference_high": 5.0}
    significant = interval | {"difference_seeds": 3, "better": "paper"}
    open_, one_seed = significant | {"better": "neither"}, significant | {"difference_seeds": 1}
    certain = significant | {"difference_low": None, "difference_high": None}  # on every image and seed the same
    untested = dict.fromkeys(significant) | {"difference_seeds": 0}
    figure = drawn(gain_bars([significant, open_, one_seed, untested, certain], list("abcde"), "gain"))
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    full = [bar.get_facecolor()[:3] != (1, 1, 1) for bar in bars]
    assert full == [True, False, True, True]
    assert "+3.0 (n=1)" in texts(figure)
    assert gain_bars([untested], ["d"], "gain") is None


def test_ablations_and_their_steps_have_figures_where_there_are_several_bars(store: ResultStore):
    variants = {"paper": {}, "no_lmgm": {"lmgm": 0.0}, "no_entropy": {"entropy": 0.0}}
    records = [
        trained("sef", seed, variant=name, options=options) for name, options in variants.items() for seed in range(2)
    ]
    fill(store, records[:4], 100)
    assert "ablation" not in asked_of(store)
    fill(store, records, 100)
    headings = [drawing.heading for drawing in asked_of(store)["ablation"]]
    assert len(headings) == 2
    assert headings[1].endswith("step by step")


# Cost


def test_roofline_places_methods_below_the_measured_roof():
    (look,) = looks_of("plain")
    works = [Work("plain", look, training, 1e9, 1e7, 500) for training in (False, True)]
    figure = drawn(roofline(works, 1e12, 1e11))
    roof, *points = figure.axes[0].lines
    assert max(roof.get_ydata()) == pytest.approx(1)  # TFLOP/s
    for point in points:
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((100, 0.5))
    assert [text.get_text() for text in figure.axes[0].texts].count("plain") == 1


def test_a_sweep_needs_two_batch_sizes():
    one = {"inference": {"plain": [Rate(8, 100, 90, 110)]}}
    assert batch_sweep(one, {}) is None
    two = {"inference": {"plain": [Rate(8, 100, 90, 110), Rate(4, 80, 70, 90)]}, "train": {}}
    figure = drawn(batch_sweep(two, {"plain": looks_of("plain")[0]}))
    assert figure.axes[0].lines[0].get_xdata().tolist() == [4, 8]


def test_memory_is_stacked_up_to_the_peak():
    use = MemoryUse("plain", {"weights": 2**30, "activations": 3 * 2**30}, 5 * 2**30)
    figure = drawn(memory_by_phase([use, MemoryUse("sef", {}, 2**30)]))
    widths = [bar.get_width() for bar in figure.axes[0].patches if bar.get_width()]
    assert widths == pytest.approx([1, 3, 1])
    assert "sef" not in texts(figure)
    assert memory_by_phase([MemoryUse("sef", {}, 2**30)]) is None


def test_profile_runs_have_the_figures_of_what_they_measured(store: ResultStore):
    records = [profiled("plain", 1000, size, id=f"profile-plain-{size}") for size in (8, 16)]
    records += [profiled("sef", 900, 16)]
    fill(store, records)
    assert "roofline" not in asked_of(store)
    for record in records:
        record.limits = Limits(flops_per_s=1e14, bytes_per_s=1e12, launch_s=1e-6)
        for speed in record.speed.values():
            speed.flops, speed.bytes = 1e9, 1e7
    fill(store, records)
    (drawing,) = asked_of(store)["roofline"]
    works = [(work.name, work.training) for work in drawing.arguments[0]]
    assert works == [("plain", False), ("plain", True), ("sef", False), ("sef", True)], "in one order in every process"
    assert drawing.heading.endswith("batch 16")
