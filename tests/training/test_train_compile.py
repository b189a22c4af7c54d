"""A compiled training gives the same result, and compiles nothing after it has begun."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.errors import UserError
from benchmarks.training import compile
from benchmarks.training.engine import Engine
from methods.plain.model import Plain
from tests.helpers.small_training import interrupted_after_the_epochs, outcome, small_run, train


class Backend:
    """Compiles nothing, but counts the graphs."""

    def __init__(self) -> None:
        self.graphs = 0
        self.before_training: int | None = None

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    backend, warm_up = Backend(), Engine.warm_up

    def counted(self: Engine, *arguments: Any) -> str | None:
        note = warm_up(self, *arguments)
        backend.before_training = backend.graphs
        return note

    monkeypatch.setattr(Engine, "warm_up", counted)
    monkeypatch.setattr(compile, "BACKEND", backend)
    return backend


@pytest.mark.parametrize("method", ["plain", "bilinear_cnn", "sef"])
def test_compiled_training_is_the_same_and_compiles_nothing_on_its_way(
    method: str, backend: Backend, tmp_path: Path
) -> None:
    """Also in a second phase, in evaluations, and with a smaller last batch."""
    run = small_run(method)
    written, compiled = train(run, tmp_path / "written"), train(run, tmp_path / "compiled", compile=True)
    assert backend.graphs == backend.before_training
    assert backend.graphs >= 2  # losses, and the forward pass of evaluations
    assert written.compile_seconds is None
    assert compiled.compile_seconds is not None
    assert compiled.compile_seconds > compiled.training_seconds
    assert compiled.notes == []
    torch.testing.assert_close(outcome(compiled)["weights"], outcome(written)["weights"], rtol=1e-3, atol=1e-4)


def test_a_method_whose_steps_do_not_call_losses_is_noted_as_not_compiled(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(self: Plain, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        yield {"own": functional.cross_entropy(self(images), labels)}

    monkeypatch.setattr(Plain, "steps", own)
    assert "its training is not compiled" in train(small_run(), tmp_path, compile=True).notes[0]


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        train(small_run(), tmp_path, compile=True)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_every_precision_trains(precision: str, tmp_path: Path) -> None:
    exact, rough = (train(small_run(precision=p), tmp_path / p) for p in ("fp32", precision))
    assert rough.state.history[-1]["loss"] == pytest.approx(exact.state.history[-1]["loss"], rel=0.05)


def test_a_training_without_remaining_steps_notes_nothing_about_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "BACKEND", "eager")
    assert interrupted_after_the_epochs(tmp_path, monkeypatch, compile=True).notes == []
