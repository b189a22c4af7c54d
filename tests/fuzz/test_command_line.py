"""Words of a command line: a preview, or one line and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from tests.helpers.fuzzing import NASTY, Fuzz

VERBS = (
    ("run", "quick"),
    ("compare", "--methods", "plain", "--dataset", "synthetic", "--backbone", "test_resnet"),
    ("profile", "--methods", "plain", "--backbone", "test_resnet"),
    ("reproduce", "plain"),
    ("list", "methods"),
    ("data", "list"),
    ("data", "verify", "synthetic"),
    ("status",),
    ("publish",),
    ("predict",),
    ("report", "--check"),
)
CARRY_OUT = ("run", "compare", "profile", "reproduce")
"""Verbs that would train or measure."""
OPTIONS = (
    *("--seeds", "--hours", "--accumulate", "--batch-size", "--set", "--only", "--precision", "--device", "--feed"),
    *("--results", "--data-root", "--weights", "--image-size", "--memory-limit", "--repeats", "--classes", "--dataset"),
    *("--methods", "--backbone", "--option", "--top", "--cluster", "--cluster-option", "--readme", "-x"),
    *("--fast", "--compile", "--compile-mode"),
)


def test_words_are_understood_or_refused(
    fuzz: Fuzz, fgbench: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(value) for value in NASTY if "\0" not in str(value)]
    for draw in fuzz.draws("command line", 40):
        verb = draw.choice(VERBS)
        given = [*verb, *(["--dry-run", "--device", "cpu", "--results", "results"] if verb[0] in CARRY_OUT else [])]
        for _ in range(draw.choice((1, 1, 2))):
            given += draw.choice(([draw.choice(OPTIONS), draw.choice(words)], [draw.choice(words)]))

        def command(given: list[str] = given) -> None:
            code, said = fgbench(*given)
            if code == 2:  # the parser's own answer
                raise UserError(said or "the words are no command")
            assert code in (0, 1), fuzz.where

        fuzz.attempt(command)
