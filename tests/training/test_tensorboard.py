"""TensorBoard: written on request, cut back where a training resumes before its end, refused without the package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.errors import UserError
from benchmarks.training import train as loop
from tests.helpers.small_training import small_run, train

MODULE = "torch.utils.tensorboard"


class Writer:
    """Stands for the package's writer."""

    made: list[Writer] = []

    def __init__(self, folder: Path, purge_step: int) -> None:
        self.folder, self.purge_step, self.closed = folder, purge_step, False
        self.scalars: dict[tuple[str, int], float] = {}
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name, step] = value

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_losses_and_accuracies_stand_against_the_images_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, MODULE, SimpleNamespace(SummaryWriter=Writer))  # type: ignore[arg-type]
    monkeypatch.setattr(loop, "CHECK_EVERY", 2)
    Writer.made = []
    history = train(small_run(), tmp_path, tensorboard=True).state.history
    (writer,) = Writer.made
    assert writer.folder == tmp_path / "tensorboard"
    assert writer.closed
    assert [step for name, step in writer.scalars if name == "batch/cross_entropy"] == [10, 18, 28, 36]
    assert writer.scalars["epoch/test_top1", 36] == history[1]["test_top1"]
    assert writer.scalars["epoch/loss", 18] == history[0]["loss"]
    train(small_run(), tmp_path, tensorboard=True)  # resumes from the last checkpoint
    assert Writer.made[1].purge_step == 37


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="pip install tensorboard"):
        train(small_run(), tmp_path, tensorboard=True)
