"""What the verbs print fits a terminal of 80 and of 120 characters, and names, numbers and commands stay whole."""

from __future__ import annotations

from io import StringIO

import pytest
from typer.testing import CliRunner

import run_all
from benchmarks.cli.views import terminal
from benchmarks.console import PlainConsole
from benchmarks.environment import Environment
from benchmarks.planning import expand, method_files, suite
from datasets import known

WIDTHS = pytest.mark.parametrize("width", [80, 120])


def printed(monkeypatch: pytest.MonkeyPatch, width: int, *words: str) -> str:
    """What a command prints on a terminal of this width."""
    stream = StringIO()
    monkeypatch.setattr(terminal, "console", PlainConsole(file=stream, width=width))
    monkeypatch.setattr(terminal, "HAS_WIDTH", True)
    assert CliRunner().invoke(run_all.app, words).exit_code == 0
    said = stream.getvalue()
    assert all(len(line) <= width or " " not in line.strip() for line in said.splitlines()), "but for one long address"
    assert "…" not in said.replace("(images.txt …)", "")
    return said


@WIDTHS
def test_every_name_of_a_plan_is_whole_in_its_dry_run(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    said = printed(monkeypatch, width, "run", "quick", "--dry-run").split()
    for run in expand.expand(suite.load("quick"), Environment()):
        assert {run.method, run.backbone} <= set(said)
    assert {"test_resnet_birds.safetensors", "test_swin_birds.safetensors", "synthetic", "3240"} <= set(said)


@WIDTHS
@pytest.mark.parametrize("words", [("list", "methods"), ("reproduce", "ws_dan", "--ablation", "--dry-run")], ids=str)
def test_every_variant_is_whole(monkeypatch: pytest.MonkeyPatch, width: int, words: tuple[str, ...]) -> None:
    said = printed(monkeypatch, width, *words).replace(",", " ").split()
    assert set(method_files.variants_of("ws_dan")) <= set(said)


@WIDTHS
def test_every_dataset_is_whole_in_its_list(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    assert set(known(None)) <= set(printed(monkeypatch, width, "data", "list").split())


def test_the_whole_of_what_is_published_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    said = printed(monkeypatch, 80, "reproduce", "all", "--dry-run", "--all").split()
    assert {"tf_efficientnet_lite0", "inception_v3", "bilinear_cnn:haomood_faster_classifier_only"} <= set(said)


@WIDTHS
def test_a_comparison_fits(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    words = ("compare", "--methods", "plain,sef", "--dataset", "synthetic", "--backbone", "test_resnet")
    said = printed(monkeypatch, width, *words, "--set", "pretrained=none", "--dry-run").split()
    assert {"sef", "test_resnet", "none"} <= set(said)
