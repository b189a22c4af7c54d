"""YAML of users is read to words, finite numbers, lists and settings; anything else is refused with its line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.config import read_yaml
from benchmarks.errors import UserError
from benchmarks.planning.overrides import nested
from benchmarks.yaml_text import YamlTextError, read

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine lists, each of nine times the one before: 400 million values in 300 characters."""


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("about: x\ntrain: []\nprofile: []\ntrain: []", r"'train' is written twice \(first in line 2\)", 4),
        ("a: {b: 1, c: 2, b: 3}", "'b' is written twice", 1),
        (BOMB, "unfolds to more than 20000 values", 5),
        ("x: 1\na: &a [*a]", "contains itself", 2),
        ("[" * 100_000, "is nested more than 32 levels deep", 1),
        ("a: " + "9" * 5000, "is not the number", 1),
        (f"a: {2**64}", "is too large a number", 1),
        ("a: .inf", "'.inf' is not a finite number", 1),
        ("a: [1, .nan]", "'.nan' is not a finite number", 1),
        ("a: 1\n2: b", "'2' can't be the name of a setting; put it in quotes", 2),
        ("on: 1", "'on' can't be the name of a setting", 1),
        ("? [a, b]\n: 1", "a list or a group of settings can't be the name", 1),
        ("a: !!int x", "'x' is not the number", 1),
        ("a: 0b_", "'0b_' is not the number", 1),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor", 1),
        ("a: !!binary aGk=", "could not determine a constructor", 1),
        ('a: "\\0"', "has characters that can't be stored", 1),
        ('a: "\\ud800"', "has characters that can't be stored", 1),
        ("x" * 300_000, "has 300000 characters, more than 256000", None),
        ("a: 1\x07", "is not valid YAML", None),
    ],
    ids=range(20),
)
def test_what_no_suite_means_is_refused_with_its_line(text: str, said: str, line: int | None) -> None:
    began = time.process_time()
    with pytest.raises(YamlTextError, match=said) as refused:
        read(text)
    assert refused.value.line == line
    assert len(str(refused.value)) < 300
    assert time.process_time() - began < 5


def test_aliases_and_merged_settings_mean_what_yaml_says() -> None:
    text = "{steps: &steps {first: &one {epochs: 3, lr: 0.1}, last: {<<: *one, epochs: 7}}, again: *steps}"
    steps = {"first": {"epochs": 3, "lr": 0.1}, "last": {"epochs": 7, "lr": 0.1}}
    assert read(text) == {"steps": steps, "again": steps}


def test_dates_are_words() -> None:
    assert read("a: [2024-01-31, 2024-01-31 10:00:00, =]") == {"a": ["2024-01-31", "2024-01-31 10:00:00", "="]}


def test_a_file_and_an_assignment_name_their_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("about: x\nabout: y\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine.yaml: line 2: 'about' is written twice \(first in line 1\); join the"):
        read_yaml(file)
    with pytest.raises(UserError, match=r"--set options: '\{a: 1, a: 2\}' is not a YAML value \('a' is written"):
        nested({"options": "{a: 1, a: 2}"})


@pytest.mark.parametrize("word", ["inf", "nan", "1e999"])
def test_an_assignment_of_no_finite_number_is_a_word(word: str) -> None:
    assert nested({"options.threshold": word}) == {"options": {"threshold": word}}
    assert nested({"options.threshold": "1e-5"}) == {"options": {"threshold": 1e-5}}
