"""Checkpoints: a damaged one is found out and the one before it used; one of other settings is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.training import checkpoint
from benchmarks.training.listener import Silent
from benchmarks.training.state import TrainingResult
from benchmarks.training.train import Trainer
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT, ResultsError
from tests.helpers.small_training import equal, outcome, small_run, train

RUN = small_run()


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def begun(folder: Path) -> Path:
    """A folder with the checkpoints of a training that was interrupted after six of eight batches."""

    class Interrupts(Silent):
        left = 7

        def trained(self, images: int) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(RUN, Environment(execution=Execution(checkpoint_seconds=0)), folder, Interrupts()).train()
    return folder


def go_on(folder: Path) -> tuple[TrainingResult, list[str]]:
    """The training taken up, and what it said."""
    said: list[str] = []

    class Listens(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    return Trainer(RUN, Environment(), folder, Listens()).train(), said


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, empty])
def test_a_damaged_checkpoint_is_found_out_and_the_one_before_it_used(damage: Any, tmp_path: Path) -> None:
    damage(begun(tmp_path) / CHECKPOINT)
    trained, said = go_on(tmp_path)
    assert CHECKPOINT in said[0]
    assert said[1] == "goes on after epoch 1 and 1 batches of 2"
    assert trained.state.notes == said[:1]
    assert equal(outcome(trained), outcome(train(RUN, tmp_path / "whole")))


def test_where_both_are_damaged_training_starts_again(tmp_path: Path) -> None:
    begun(tmp_path)
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        flip_a_byte(tmp_path / name)
    trained, said = go_on(tmp_path)
    assert "starts again" in said[2]
    assert equal(outcome(trained), outcome(train(RUN, tmp_path / "whole")))


def test_every_flipped_byte_of_a_tensor_is_found_out(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, RUN, {"weights": torch.full((50,), 0.5, dtype=torch.float64)})
    content = (tmp_path / CHECKPOINT).read_bytes()
    start = content.index(torch.full((50,), 0.5, dtype=torch.float64).numpy().tobytes())
    for place in range(start, start + 400, 7):
        spoilt = bytearray(content)
        spoilt[place] ^= 0x80
        (tmp_path / CHECKPOINT).write_bytes(spoilt)
        state, notes = checkpoint.load(tmp_path, RUN)
        assert state is None
        assert "damaged" in notes[0]


def test_a_checkpoint_of_other_settings_is_refused_with_the_difference(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, small_run(epochs=8, optimizer={"lr": 0.5}), {})
    with pytest.raises(UserError) as caught:
        checkpoint.load(tmp_path, RUN)
    assert "epochs: 2 here, 8 in the checkpoint; optimizer.lr: 0.0003 here, 0.5 in the checkpoint" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path, RUN, {"number": 1})
    with monkeypatch.context() as patch:

        def full(state: Any, path: Path) -> None:
            path.write_bytes(b"half")
            raise RuntimeError("No space left on device")

        patch.setattr(torch, "save", full)
        with pytest.raises(ResultsError, match="No space left"):
            checkpoint.save(tmp_path, RUN, {"number": 2})
    state, notes = checkpoint.load(tmp_path, RUN)
    assert state is not None
    assert (state["number"], notes) == (1, [])


def test_one_killed_between_the_two_renamings_loses_nothing(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, RUN, {"number": 1})
    (tmp_path / CHECKPOINT).rename(tmp_path / PREVIOUS_CHECKPOINT)
    (tmp_path / f".{CHECKPOINT}.x1.pt").write_bytes(b"half")
    state, notes = checkpoint.load(tmp_path, RUN)
    assert state is not None
    assert (state["number"], notes) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == [PREVIOUS_CHECKPOINT]


def test_a_finished_run_leaves_none(tmp_path: Path) -> None:
    for number in range(2):
        checkpoint.save(tmp_path, RUN, {"number": number})
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.discard(tmp_path)
    assert not list(tmp_path.iterdir())
