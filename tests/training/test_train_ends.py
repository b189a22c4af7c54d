"""Before a training's first step and after an epoch's last: memory that runs out, checkpoints, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.training import checkpoint, compile
from benchmarks.training.device import gpu_ran_out_of_memory
from benchmarks.training.state import TrainingResult
from methods.plain.model import Plain
from tests.helpers.small_training import SWIN, small_run, train


def raise_once(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """The method's `name` raises when it is called for the first time, and then is itself."""
    own, errors = getattr(Plain, name), [error]

    def raising(self: Plain, *arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return own(self, *arguments)

    monkeypatch.setattr(Plain, name, raising)


@pytest.mark.parametrize(("micro_batch", "had"), [(None, 8), (4, 4)])
def test_memory_that_runs_out_before_any_step_halves_what_is_asked_for(
    micro_batch: int | None, had: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_once(monkeypatch, "initialise", torch.OutOfMemoryError("CUDA out of memory"))
    trained = train(small_run(backbone=SWIN, batch_size=8), tmp_path, micro_batch=micro_batch)
    assert trained.notes[0] == f"out of memory with {had} images at a time; goes on with {had // 2}"
    assert trained.micro_batch == had // 2


def interrupted_after_the_epochs(folder: Path, monkeypatch: pytest.MonkeyPatch, **execution: Any) -> TrainingResult:
    """What comes of a training that was interrupted when all epochs were done."""
    raise_once(monkeypatch, "finish", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(small_run(), folder, **execution)
    return train(small_run(), folder, **execution)


def test_a_training_resumed_after_its_last_epoch_knows_how_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = interrupted_after_the_epochs(tmp_path, monkeypatch)
    assert (trained.state.resumed, trained.micro_batch) == (1, 5)


def test_one_without_a_step_left_says_nothing_of_what_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "BACKEND", "eager")
    assert interrupted_after_the_epochs(tmp_path, monkeypatch, compile=True).notes == []


def test_after_the_last_batch_of_an_epoch_nothing_is_kept_before_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken up there, an epoch would have no batch to say on which device its losses are."""
    save, batches = checkpoint.save, []

    def noted(folder: Path, run: Any, state: dict[str, Any]) -> None:
        batches.append(state["batch"])
        save(folder, run, state)

    monkeypatch.setattr(checkpoint, "save", noted)
    train(small_run(), tmp_path, checkpoint_seconds=0)
    assert batches == [1, 2, 3, 0] * 2


@pytest.mark.parametrize(
    ("error", "on_cpu", "on_cuda"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False, True),
        (RuntimeError("shapes can't be multiplied"), False, False),
    ],
)
def test_a_gpus_lack_of_memory_has_many_error_types(error: Exception, on_cpu: bool, on_cuda: bool) -> None:
    assert gpu_ran_out_of_memory(error, torch.device("cpu")) is on_cpu
    assert gpu_ran_out_of_memory(error, torch.device("cuda")) is on_cuda
