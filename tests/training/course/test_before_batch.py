"""A method is told before each batch how far the training has come: the same after an interruption, in every process
and in compiled code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.environment import Environment, Execution
from benchmarks.training.compiling import compile
from benchmarks.training.train import Trainer
from methods.plain.model import Plain
from results.settings import Run
from tests.helpers.small_training import Interrupts, small_run, train

TOLD = [(0, 0.0), (0, 0.125), (0, 0.25), (0, 0.375), (1, 0.5), (1, 0.625), (1, 0.75), (1, 0.875)]
"""Two epochs of four batches."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    calls: list[tuple[int, float]] = []

    def note(self: Plain, epoch: int, over: float) -> None:
        assert self.training
        calls.append((epoch, over))

    monkeypatch.setattr(Plain, "before_batch", note)
    return calls


def test_each_batch_has_its_epoch_and_the_share_that_is_over(told: list[tuple[int, float]], tmp_path: Path) -> None:
    train(small_run(), tmp_path)
    assert told == TOLD


@pytest.mark.parametrize("batches", [2, 5])
def test_after_an_interruption_it_goes_on_where_it_stopped(
    batches: int, told: list[tuple[int, float]], tmp_path: Path
) -> None:
    stop(small_run(), tmp_path, batches)
    assert told == TOLD[:batches]
    train(small_run(), tmp_path)
    assert told[-1] == TOLD[-1]
    assert told[batches:] == TOLD[-len(told[batches:]) :]


def stop(run: Run, folder: Path, batches: int) -> None:
    trainer = Trainer(run, Environment(execution=Execution(checkpoint_seconds=0)), folder, Interrupts(batches))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def test_what_is_told_reaches_compiled_code_through_a_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[torch.fx.GraphModule] = []
    monkeypatch.setattr(compile, "BACKEND", lambda graph, inputs: graphs.append(graph) or graph.forward)

    def keep(self: Plain, epoch: int, over: float) -> None:
        if "over" not in self._buffers:
            self.register_buffer("over", torch.zeros(()), persistent=False)
        self.over.fill_(over)

    losses = Plain.losses
    monkeypatch.setattr(Plain, "before_batch", keep)
    monkeypatch.setattr(
        Plain, "losses", lambda self, *batch: {name: one * self.over for name, one in losses(self, *batch).items()}
    )
    written, compiled = (
        train(small_run(), tmp_path / "written"),
        train(small_run(), tmp_path / "compiled", compile=True),
    )
    assert len(graphs) == 2  # losses and forward pass, each once
    for row, expected in zip(compiled.state.history, written.state.history, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert compiled.notes == []
