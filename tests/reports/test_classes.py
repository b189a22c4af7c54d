"""Labels of classes: short, legible, and no two of one figure alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reports.classes import LETTERS, class_labels


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["012.Yellow_headed_Blackbird", "013.Bobolink"], ["Yellow headed Blackbird", "Bobolink"]),
        (["2012", "2013"], ["2012", "2013"]),
        (["707-320", "737-200", "757-200"], ["707-320", "737-200", "757-200"]),
        (["500 Abarth", "Audi A4"], ["500 Abarth", "Audi A4"]),
        (["1.gull", "2.gull"], ["1.gull", "2.gull"]),
        (["Black_Tern", "Arctic_Tern"], ["Black Tern", "Arctic Tern"]),
        (["a_b", "a b"], ["a_b", "a b"]),
        (["a\nb"], ["a b"]),
        ([], []),
    ],
    ids=["numbers", "years", "models", "one number", "numbers that matter", "short", "underscores", "lines", "none"],
)
def test_labels_lose_what_says_nothing_and_keep_what_distinguishes(names: list[str], expected: list[str]) -> None:
    assert class_labels(names) == expected


def test_words_that_all_share_go_where_a_label_would_be_too_long() -> None:
    names = [f"Common garden variety of the {colour} snapdragon flower" for colour in ("dark red", "pale yellow")]
    assert class_labels(names) == ["dark red", "pale yellow"]


def test_a_label_that_is_still_too_long_is_cut_at_its_end_unless_two_then_look_the_same() -> None:
    assert class_labels(["x" * 50]) == ["x" * (LETTERS - 1) + "…"]
    assert class_labels(["one long name of a class that stands alone"]) == ["one long name of a class that s…"]
    first, second = class_labels([f"{'x' * 50} {end}" for end in ("Sedan 2011", "Coupe 2012")])
    assert first.endswith("edan 2011")
    assert second.endswith("oupe 2012")


def test_classes_of_one_name_are_numbered() -> None:
    assert class_labels(["gull", "tern", "gull"]) == ["gull (1)", "tern", "gull (3)"]
    assert class_labels(["gull", "gull (1)", "gull"]) == ["gull (1)", "gull (1) (2)", "gull (3)"]
    assert class_labels(["", " "]) == ["(1)", "(2)"]


ODD = st.text(max_size=80) | st.from_regex(r"\d{1,3}[._ -][A-Za-z_ ]{0,60}", fullmatch=True)


@given(st.lists(ODD | st.sampled_from(["é" * 40, "e\u0301" * 40, "_", "1. ", "x" * 60 + "1" + "x" * 20]), max_size=20))
@example(["x" * 60 + "1" + "x" * 20, "x" * 60 + "2" + "x" * 20])
def test_no_two_labels_of_a_figure_are_equal_and_each_fits(names: list[str]) -> None:
    labels = class_labels(names)
    assert len(labels) == len(names)
    assert len({unicodedata.normalize("NFC", label) for label in labels}) == len(names)
    assert all(0 < len(label) <= LETTERS for label in labels)
