"""A paper writer uses every kind of figure unchanged: width, size of text, nothing covered, a caption beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.contents import SavedFigure
from reports.figures.colours import DARK, PALETTE
from reports.figures.dark import DARK_PAPER, in_the_dark, themed
from reports.figures.draw import start_drawing
from reports.figures.drawing import KINDS, Drawing
from reports.figures.style import COLUMN, PAGE, SMALL, style
from reports.render.html_figures import Embedder
from results.record import Record
from results.speed import Limits
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, history, predictions, profiled, trained
from tests.helpers.report_reader import asked_of, drawn

METHODS = ("plain", "bilinear_cnn", "dfl_cnn", "ws_dan", "sef", "swinfc", "compact_bilinear", "pairwise_confusion")


def measured(method: str, rate: float, batch_size: int) -> Record:
    """A profile with all that figures show."""
    limits = Limits(flops_per_s=1e14, bytes_per_s=1e12, launch_s=1e-6)
    record = profiled(method, rate, batch_size, limits=limits)
    phases = {"weights": 2**30, "gradients": 2**30, "optimizer": 2**29, "activations": 2**30}
    work = {"flops": 1.6e10, "bytes": 2e8 * (1 + rate / 4000)}
    speed = {mode: one.model_copy(update=work | {"memory": phases}) for mode, one in record.speed.items()}
    return record.model_copy(update={"speed": speed, "id": f"profile-{method}-{batch_size}"})


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """The first drawing of each kind."""
    store = ResultStore(tmp_path_factory.mktemp("store"))
    records = [
        trained(method, seed, 0.7 + place / 30, backbone=backbone)
        for backbone in ("resnet50", "vgg16")
        for place, method in enumerate(METHODS)
        for seed in range(2)
    ]
    variants = {"no_lmgm": {"lmgm": 0.0}, "a_variant_with_a_long_name": {"entropy": 0.0}}
    records += [
        trained("sef", seed, variant=name, options=options) for name, options in variants.items() for seed in range(2)
    ]
    records += [trained(method, dataset=f"photographs_{place}") for method in METHODS for place in range(4)]
    tables = ("Table 1", "replication")
    rows = [
        {"table": table, "value": 87.0, "variant": "SEF", "source": "the paper", "verified": True} for table in tables
    ]
    records += [trained(method, dataset="cars", protocol="paper", published=rows) for method in METHODS]
    fill(store, records, 60)
    for place, method in enumerate(METHODS):
        for size in (8, 16, 32):
            store.write(measured(method, 900 + 400 * place + 10 * size, size))
    names = [f"{number:03}.A_bird_with_the_long_name_{number}" for number in range(4)]
    for seed in range(2):
        for method, right in (("plain", 5), ("sef", 8)):
            table = predictions([True] * 40).assign(label=[place % 4 for place in range(40)])
            table["prediction"] = [
                label if place % 10 < right else 3 - label for place, label in enumerate(table["label"])
            ]
            one = trained(method, seed, right / 10, dataset="birds", split={"class_names": names, "test": 40})
            store.write(one, history(seed), table)
    return {kind: several[0] for kind, several in asked_of(store).items()}


@pytest.fixture(params=KINDS)
def drawing(figures: dict[str, Drawing], request: pytest.FixtureRequest) -> Drawing:
    if request.param not in figures:
        pytest.fail(f"no {request.param} among {sorted(figures)}")
    return figures[request.param]


def laid_out(drawing: Drawing) -> Figure:
    figure = drawn(drawing.draw(*drawing.arguments))
    with style():
        figure.draw_without_rendering()
    return figure


def shown_texts(figure: Figure) -> list[Text]:
    """All text but the labels of ticks beyond the ends of an axis, which are not drawn."""
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - slack <= tick.get_loc() <= high + slack:
                hidden |= {tick.label1, tick.label2}
    found = figure.findobj(Text)
    return [one for one in found if one not in hidden and one.get_visible() and one.get_text().strip()]


def test_a_figure_is_as_wide_as_a_column_or_a_page_and_has_no_title(drawing: Drawing):
    figure = laid_out(drawing)
    assert figure.get_figwidth() in (COLUMN, PAGE)
    assert not figure.get_suptitle()


def test_text_can_be_read_in_print(drawing: Drawing):
    sizes = {text.get_fontsize() for text in shown_texts(laid_out(drawing))}
    assert min(sizes) >= SMALL >= 7.5
    assert max(sizes) == 8


def test_no_text_covers_another_or_leaves_the_figure(drawing: Drawing):
    figure = laid_out(drawing)
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    for place, (words, box) in enumerate(boxes):
        assert box.x0 >= -1, words
        assert box.x1 <= figure.bbox.x1 + 1, words
        assert box.y0 >= -1, words
        assert box.y1 <= figure.bbox.y1 + 1, words
        for others, other in boxes[:place]:
            assert not box.padded(-1).overlaps(other.padded(-1)), (words, others)


def test_the_page_shows_a_figure_in_dark_colours_too_and_its_caption_lies_beside_it(drawing: Drawing, tmp_path: Path):
    ((figure,),) = start_drawing([drawing], tmp_path)().values()
    caption = next(path for path in figure.paths if path.suffix == ".txt").read_text()
    assert caption == f"{drawing.title}. {drawing.caption}\n"
    assert len(drawing.caption) > 40
    svg = next(path for path in figure.paths if path.suffix == ".svg").read_text()
    colors = dict(re.findall(r"--([0-9a-f]{6}):(#[0-9a-f]{6})", themed(svg).partition("prefers-color-scheme:dark")[2]))
    assert colors["ffffff"] == DARK_PAPER
    assert colors["222222"] > "#aaaaaa", "text"
    shown = Embedder(tmp_path, 10**6)(figure)
    assert shown.data is not None
    assert shown.data.startswith("data:image/svg")
    assert shown.caption == drawing.caption
    assert shown.wide == (laid_out(drawing).get_figwidth() == PAGE)


def test_a_method_has_one_colour_in_all_figures(figures: dict[str, Drawing]):
    looks = {"curves": [(one.name, one.look) for one in figures["curves"].arguments[0]]}
    looks["batch_sweep"] = list(figures["batch_sweep"].arguments[1].items())
    looks["throughput"] = list(zip(*figures["throughput"].arguments[1:], strict=True))
    colors = {kind: {name: look["color"] for name, look in several} for kind, several in looks.items()}
    for name in ("plain", "ws_dan", "bilinear_cnn"):
        assert len({found[name] for found in colors.values() if name in found}) == 1, name
    assert len(set(colors["throughput"].values())) >= len(PALETTE)


def test_colours_can_be_told_from_both_pages():
    for color in PALETTE:
        assert contrast(color, "#ffffff") >= 3
        assert contrast(DARK[color], DARK_PAPER) >= 4.5
    assert contrast(in_the_dark("#222222"), DARK_PAPER) > 7


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [part / 255 for part in bytes.fromhex(color[1:])]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_photo_keeps_its_colours(tmp_path: Path):
    (tmp_path / "right.png").write_bytes(b"\x89PNG")
    shown = Embedder(tmp_path, 10**6)(SavedFigure("right", (tmp_path / "right.png",)))
    assert shown.data == "data:image/png;base64,iVBORw=="
