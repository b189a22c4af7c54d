"""The suites that come with the project: which methods they name, and which methods a network can't serve."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import methods
from benchmarks.environment import Environment
from benchmarks.planning import expand, method_checks, suite, support
from methods.backbones import TimmBackbones
from methods.interface import BackboneSource, Method
from results.settings import ProfileRun, Run


@pytest.mark.parametrize("kind", [Run, ProfileRun])
def test_the_suite_of_all_methods_trains_and_measures_every_method_that_there_is(kind: type[Run | ProfileRun]) -> None:
    """A new method is in it without an entry, unless it needs another network than a small CNN."""
    everything = suite.load("methods")
    planned = {run.method for run in expand.expand(everything, Environment()) if isinstance(run, kind)}
    assert planned == set(methods.available()), f"name these beside swinfc: {set(methods.available()) - planned}"
    assert support.left_out(everything) == []


def test_the_suite_of_all_methods_asks_what_the_quick_suite_asks() -> None:
    """So that the Runs which both name are the same ones, and count for both."""
    every, quick = ({run.id for run in expand.expand(suite.load(name), Environment())} for name in ("methods", "quick"))
    second_seeds = {run for run in quick if "-seed1-" in run}
    assert second_seeds
    assert quick - every == second_seeds


def test_the_quick_suite_stays_with_its_six_methods() -> None:
    """It is a user's first command, and has to end within minutes."""
    trained = [run for run in expand.expand(suite.load("quick"), Environment()) if isinstance(run, Run)]
    assert {run.method for run in trained} == {"plain", "bilinear_cnn", "dfl_cnn", "sef", "ws_dan", "swinfc"}
    assert len(trained) == 14


class OfTokens(Method):
    """Reads the tokens before the last block, as TransFG does."""

    def __init__(self, backbones: BackboneSource, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbones.tokens(after=[-2], rest=1)
        self.head = nn.Linear(self.backbone.channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone.rest(self.backbone(images).after[0])[:, 0])


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("test_vit", None),
        ("test_resnet", "ResNet gives no tokens"),
        ("beit_base_patch16_224", "use relative positions of a whole grid"),
    ],
)
def test_a_method_that_reads_tokens_is_left_out_where_a_network_has_none(
    network: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_checks, "load", lambda _: OfTokens)
    fault = method_checks.missing_attention("mine", "mine", {}, network)
    assert fault is None if told is None else told in str(fault)


def test_a_method_that_reads_tokens_predicts() -> None:
    method = OfTokens(TimmBackbones("test_vit", 64), 3).eval()
    assert method(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert {name: len(group) > 0 for name, group in method.parameter_groups().items()} == {
        "backbone": True,
        "head": True,
    }
