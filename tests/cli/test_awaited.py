"""A dry run says what a plan will take before its data and weights are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.options import Request
from benchmarks.cli.views import forecast, shopping_list
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.overrides import NO_CHANGES
from benchmarks.planning.reference.experiments import experiments
from datasets import DatasetError
from tests.helpers.fakes.fake_hub import TAG, FakeHub
from tests.helpers.small_suites import small_numbers

Command = Callable[..., tuple[int, str]]
RESNET = "test_resnet"
VERBS = {
    "reproduce": ["reproduce", "plain"],
    "compare": ["compare", "--methods", "plain,sef", "--dataset", "cub_200_2011"],
}


@pytest.fixture
def where(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Words of a dry run of tiny images on the CPU, none of which another test has decoded."""
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    sizes = ["image_size=32", "stored_size=32", "batch_size=2", "epochs=1", "validation=0"]
    words = [word for one in sizes for word in ("--set", one)]
    return [*words, "--data", root, "--results", tmp_path / "results", "--device", "cpu", "--dry-run"]


def totals(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("total:", "images:", "disk:", "memory:"))]


@pytest.mark.parametrize("verb", VERBS)
def test_totals_are_the_same_before_and_after_data_and_weights_are_here(
    verb: str, where: list[object], fgbench: Command, root: Path, weights: FakeHub
) -> None:
    command = [*VERBS[verb], "--backbone", RESNET, *where]
    code, before = fgbench(*command)
    assert (code, before.count(forecast.ONCE_HERE)) == (0, 1)
    assert before.index("to get:") < before.index(forecast.ONCE_HERE) < before.index("total:")
    assert "images: 9 to train on" in before or "images: 18 to train on" in before, "three images, three seeds a method"
    fgbench("data", "fetch", "cub_200_2011", "--data", root)
    fgbench("weights", "fetch", TAG)
    code, after = fgbench(*command)
    assert (code, forecast.ONCE_HERE in after) == (0, False)
    assert totals(before) == totals(after)


def test_what_is_not_on_the_shopping_list_is_refused_as_ever(
    where: list[object], fgbench: Command, weights: FakeHub
) -> None:
    with pytest.raises(DatasetError, match="there is no dataset 'my_birds'"):
        fgbench("compare", "--methods", "plain", "--dataset", "my_birds", "--backbone", RESNET, *where)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([*VERBS["reproduce"], "--backbone", RESNET, "--set", "epoch=1"], "did you mean 'epochs'"),
        ([*VERBS["compare"], "--backbone", RESNET, "--set", "epoch=1"], "did you mean 'epochs'"),
        (["compare", "--methods", "transfg", "--dataset", "cub_200_2011", "--backbone", RESNET], "no tokens"),
        (["compare", "--methods", "plain", "--dataset", "my_birds", "--backbone", RESNET], "no dataset 'my_birds'"),
    ],
    ids=str,
)
def test_nothing_is_to_be_got_for_a_plan_that_is_refused(
    words: list[str],
    fault: str,
    where: list[object],
    fgbench: Command,
    weights: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shopping_list, "lines", lambda items: pytest.fail("the list was shown") if items else [])
    for asked in (where, where[:-1]):  # with --dry-run and without
        with pytest.raises((UserError, DatasetError), match=fault):
            fgbench(*words, *asked)


def test_a_size_that_the_network_refuses_is_refused_before_its_weights_are_here(
    where: list[object], fgbench: Command, weights: FakeHub
) -> None:
    command = ["compare", "--methods", "plain", "--dataset", "synthetic", "--backbone", "vit_tiny_patch16_224"]
    with pytest.raises(UserError, match=r"vit_tiny_patch16_224.* 100.* 96 or 112"):
        fgbench(*command, *(str(word).replace("size=32", "size=100") for word in where))


def test_reference_results_that_await_data_have_totals_of_their_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, lacking = ({"datasets": [name]} for name in ("synthetic", "cub_200_2011"))
    small_numbers(monkeypatch, drawn, lacking, methods=["plain"], backbones=[{"name": RESNET, "pretrained": "none"}])
    here, awaiting = Environment(root), Environment(root, awaited=frozenset({"cub_200_2011"}))
    now, later = (experiments(one, NO_CHANGES) for one in (here, awaiting))
    said = forecast.of_experiments(now, later, "cpu", awaiting, Request(results=tmp_path))
    assert [line for line in said if line.startswith(("total", "Once"))] == [
        "total: 2 Runs, 0 done, 2 to do",
        forecast.ONCE_HERE,
        "total: 2 Runs, 0 done, 2 to do",
    ]
