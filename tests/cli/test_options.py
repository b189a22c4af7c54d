"""Options of the command line that are wrong are answered in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.inputs import whole_numbers
from benchmarks.cli.options import Request
from benchmarks.cli.requested import changes_of, environment_of
from benchmarks.errors import UserError
from results.values.numbers import BATCH


@pytest.mark.parametrize("verb", ["compare", "profile"])
@pytest.mark.parametrize(
    ("methods", "backbone", "fault"),
    [
        ("plain,,sef", "test_resnet", "--methods has an empty entry"),
        ("plain", "test_resnet,", "--backbone has an empty entry"),
        ("plain, plain", "test_resnet", "--methods names 'plain' twice"),
        ("plain", "test_resnet,test_vit,test_resnet", "--backbone names 'test_resnet' twice"),
    ],
)
def test_names_in_a_list_are_neither_empty_nor_repeated(
    refused: Callable[..., tuple[int, str]], verb: str, methods: str, backbone: str, fault: str
) -> None:
    dataset = ["--dataset", "synthetic"]
    code, line = refused(verb, "--methods", methods, "--backbone", backbone, *dataset, "--dry-run")
    assert (code, fault in line) == (2, True), line


@pytest.mark.parametrize("wrong", ["8,16", "0", "-4", "", "many", "1.5"])
def test_images_at_once_are_one_number_or_auto(wrong: str) -> None:
    with pytest.raises(UserError, match="--batch-size takes auto or a whole number from 1 to 1048576, not"):
        environment_of(Request(batch_size=wrong))


@pytest.mark.parametrize(("asked", "known"), [("auto", "auto"), ("8", 8), (None, None)])
def test_images_at_once_come_into_the_execution(asked: str | None, known: object) -> None:
    assert environment_of(Request(batch_size=asked, device="cpu")).execution.micro_batch == known


def test_seconds_between_checkpoints_come_into_the_execution() -> None:
    assert environment_of(Request(device="cpu")).execution.checkpoint_seconds == 60
    assert environment_of(Request(checkpoint_seconds=5, device="cpu")).execution.checkpoint_seconds == 5


@pytest.mark.parametrize(
    ("asked", "compiles", "mode", "precision"),
    [
        ({}, False, "default", {}),
        ({"compile": True}, True, "default", {}),
        ({"compile_mode": "reduce-overhead"}, True, "reduce-overhead", {}),
        ({"fast": True}, True, "default", {"precision": "bf16"}),
        (
            {"fast": True, "precision": "bf16", "compile_mode": "max-autotune"},
            True,
            "max-autotune",
            {"precision": "bf16"},
        ),
    ],
    ids=str,
)
def test_fast_is_half_precision_and_compiled(
    asked: dict[str, Any], compiles: bool, mode: str, precision: dict[str, str]
) -> None:
    request = Request(device="cpu", **asked)
    execution = environment_of(request).execution
    assert (execution.compile, execution.compile_mode) == (compiles, mode)
    assert changes_of(request).set == precision


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fast", "--precision", "fp32"), "--fast computes in bf16: leave --precision fp32 out"),
        (("--fast", "--no-compile"), "--fast compiles and --no-compile does not"),
        (("--compile-mode", "default", "--no-compile"), "--compile-mode compiles and --no-compile does not"),
    ],
    ids=" ".join,
)
def test_options_that_contradict_fast_are_named(
    words: tuple[str, ...], said: str, refused: Callable[..., tuple[int, str]]
) -> None:
    code, line = refused("run", "quick", "--dry-run", "--device", "cpu", *words)
    assert (code, said in line) == (2, True)


def test_a_profile_without_compilation_has_no_mode_of_it(refused: Callable[..., tuple[int, str]]) -> None:
    cell = ("profile", "--methods", "plain", "--backbone", "test_resnet", "--dry-run", "--device", "cpu")
    code, line = refused(*cell, "--compile", "no", "--compile-mode", "max-autotune")
    assert (code, "--compile no does not: leave one of them out" in line) == (2, True)


@pytest.mark.parametrize("wrong", [",", "", "1,x"])
def test_a_list_of_numbers_has_one_at_the_least(wrong: str) -> None:
    with pytest.raises(UserError, match="--batch-size takes numbers"):
        whole_numbers(wrong, "--batch-size", BATCH)
    assert whole_numbers("1, 2", "--batch-size", BATCH) == [1, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "quick", "--hours", "inf"), "--hours takes a number from 0.001 to 8784, not 'inf'"),
        (("run", "quick", "--checkpoint-seconds", "-1"), "--checkpoint-seconds takes a number from 0 to 86400, not"),
        (("run", "quick", "--seeds", "100000000"), "--seeds takes a whole number from 1 to 1000, not '100000000'"),
        (("run", "quick", "--seeds", "9" * 5000), "--seeds takes a whole number from 1 to 1000, not '999"),
        (("profile", "--memory-limit", "nan"), "--memory-limit takes a number from"),
        (("data", "prepare", "synthetic", "--size", "100000"), "--size takes a whole number from 8 to 8192"),
        (("run", "quick", "--results", ""), "--results is empty"),
        (("status", "--results", ""), "--results is empty"),
        (("data", "list", "--data-root", ""), "--data-root is empty"),
        (("run", "quick", "--weights", " "), "--weights is empty"),
        (("report", "--out", ""), "--out is empty"),
    ],
    ids=range(11),
)
def test_numbers_and_folders_that_nobody_means_are_named(
    words: tuple[str, ...], said: str, refused: Callable[..., tuple[int, str]]
) -> None:
    code, line = refused(*words)
    assert (code, said in line) == (2, True)
    assert len(line) < 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0",), "--parallel takes auto or a whole number from 1"),
        (("many",), "--parallel takes auto or a whole number from 1"),
        (("2", "--in-process"), "leave out --in-process"),
        (("auto", "--cluster", "local"), "--cluster-option parallel=N"),
    ],
    ids=range(4),
)
def test_trainings_at_a_time_that_cannot_be_are_refused(
    words: tuple[str, ...], said: str, refused: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, line = refused("run", "quick", "--results", tmp_path, "--device", "cpu", "--parallel", *words)
    assert (code, said in line) == (2, True), line


def test_one_training_at_a_time_is_all_that_torchrun_can_do(
    refused: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, line = refused("run", "quick", "--results", tmp_path, "--device", "cpu", "--parallel", "2")
    assert (code, "without torchrun" in line) == (2, True), line
