"""A figure on the page is the file beside it in fewer bytes: every element keeps its shape, place and style."""

from __future__ import annotations

import re
from io import StringIO
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from reports.figures.dark import themed
from reports.render.small_svg import small_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawing() -> str:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2, 30], [0.123456, 5, 7], "o--", label="A method")
    axes.scatter([1, 2], [3, 4], s=[10, 20], c=["#e6702b", "#175ad3"], alpha=0.5)
    axes.fill_between([1, 2], [3, 4], hatch="//")
    axes.set_ylabel("top-1, % & more <b>")
    axes.legend()
    text = StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()


def elements(svg: str) -> list[tuple[str, list[float], str, list[float]]]:
    """Of each element with a style or a place: tag, numbers, style, and numbers of the shape that it refers to."""
    root = ElementTree.fromstring(svg)
    css = "".join(style.text or "" for style in root.iter(f"{SVG}style"))
    rules = dict(re.findall(r"\.(\w+)\{([^}]*)\}", css))
    shapes = {one.get("id"): _numbers(one.get("d", "")) for one in root.iter() if one.get("id")}
    found = []
    for one in root.iter():
        style = one.get("style") or rules.get(one.get("class", ""), "")
        style = re.sub(r"url\(#[^)]*\)", "url", style)
        target = next((value for key, value in one.items() if key.endswith("href")), "#")[1:]
        places = " ".join(one.get(name, "") for name in ("d", "transform", "x", "y"))
        # One way to say that a glyph is moved to the right has a second number, which is 0.
        places = re.sub(r"translate\((\S+) 0\)", r"\1", places)
        if style or places.strip() or target:
            found.append((one.tag, _numbers(places), style, shapes.get(target, [])))
    return found


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def test_every_element_keeps_its_shape_place_and_style(drawing: str):
    before, after = elements(drawing), elements(small_svg(drawing))
    assert len(before) == len(after) > 50
    for (tag, places, style, target), (tag_after, places_after, style_after, target_after) in zip(
        before, after, strict=True
    ):
        assert (tag, style) == (tag_after, style_after)
        assert places_after == pytest.approx(places, abs=0.0051)
        assert target_after == pytest.approx(target, abs=0.0051)


def test_it_takes_a_third_fewer_bytes(drawing: str):
    assert len(small_svg(drawing)) < 0.66 * len(drawing)


def test_its_colours_still_follow_the_page(drawing: str):
    style = themed(small_svg(drawing))
    assert "fill: var(--ffffff)" in style
    assert not re.search(r": #[0-9a-f]{6}", style)
