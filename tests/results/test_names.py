"""Names that do not exist are answered with the one that was meant, also where people call it by a shorter one."""

from __future__ import annotations

import time

import pytest

import datasets
import methods
from methods.errors import unknown
from results.values.names import nearest, suggest

PUBLISHED = [name for name, reader in datasets.reader_classes().items() if reader.folder]


@pytest.mark.parametrize(
    ("called", "meant"),
    [
        ("cub", "cub_200_2011"),
        ("CUB-200", "cub_200_2011"),
        ("cub200", "cub_200_2011"),
        ("cars", "stanford_cars"),
        ("dogs", "stanford_dogs"),
        ("aircraft", "fgvc_aircraft"),
        ("flowers", "oxford_flowers102"),
        ("pets", "oxford_pets"),
        ("birds", "nabirds"),
        ("webfg", "webfg_496"),
    ],
)
def test_datasets_are_known_by_their_common_names(called: str, meant: str) -> None:
    assert nearest(called, PUBLISHED) == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("called", "meant"),
    [
        ("bcnn", "bilinear_cnn"),
        ("B-CNN", "bilinear_cnn"),
        ("bilinear", "bilinear_cnn"),
        ("dfl", "dfl_cnn"),
        ("DFL-CNN", "dfl_cnn"),
        ("wsdan", "ws_dan"),
        ("swin", "swinfc"),
    ],
)
def test_methods_are_known_by_their_common_names(called: str, meant: str) -> None:
    assert nearest(called, methods.available()) == f"did you mean {meant!r}?"


def test_a_whole_word_goes_before_a_part_and_a_misspelling_after_both() -> None:
    choices = ["cub100", "cub_200_2011", "cup"]
    assert nearest("cub", choices) == "did you mean 'cub_200_2011'?"
    assert nearest("cub", ["cup", "cub100"]) == "did you mean 'cub100'?"
    assert nearest("cuo", ["cub_200_2011", "cup"]) == "did you mean 'cup'?"


def test_what_is_like_nothing_is_answered_with_what_there_is() -> None:
    assert nearest("zzz", PUBLISHED) is None
    assert suggest("x", ["plain", "sef"]) == "there are: plain, sef"


def test_names_in_other_letters_are_known_by_a_word_of_them() -> None:
    assert nearest("épervier", ["002.Épervier_d_Europe", "perviers"]) == "did you mean '002.Épervier_d_Europe'?"


def test_a_name_of_many_equal_words_is_answered_at_once() -> None:
    """Tried word by word in every combination, as a regular expression does it, this would take years."""
    assert nearest("a" * 90 + "b", ["_".join(["aa"] * 60)]) is not None


def test_a_name_of_a_hundred_thousand_letters_is_answered_at_once() -> None:
    classes = [f"class {number}" for number in range(10_000)]
    started = time.perf_counter()
    assert suggest("x" * 100_000, classes).endswith("and 9988 more")
    assert unknown("timm", "network", "x" * 100_000, classes).endswith("nearest: none")
    assert time.perf_counter() - started < 5
