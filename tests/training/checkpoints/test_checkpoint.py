"""Checkpoints: a damaged one is detected and the previous one used; one of other settings is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.train import Trainer
from results.errors import ResultsError
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT
from tests.helpers.small_training import Interrupts, equal, interrupted_after_the_epochs, outcome, small_run, train

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
    with pytest.raises(KeyboardInterrupt):
        Trainer(RUN, Environment(execution=Execution(checkpoint_seconds=0)), folder, Interrupts(7)).train()
    return folder


def resume(folder: Path) -> tuple[TrainingResult, list[str]]:
    """The resumed training and its notes."""
    listener = Interrupts()
    return Trainer(RUN, Environment(), folder, listener).train(), listener.notes


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, empty])
def test_a_damaged_checkpoint_is_detected_and_the_previous_one_used(damage: Any, tmp_path: Path) -> None:
    damage(begun(tmp_path) / CHECKPOINT)
    trained, notes = resume(tmp_path)
    assert CHECKPOINT in notes[0]
    assert notes[1] == "resumes after epoch 1 and 1 batches of 2"
    assert trained.state.notes == notes[:1]
    assert equal(outcome(trained), outcome(train(RUN, tmp_path / "whole")))


def test_if_both_are_damaged_training_starts_again(tmp_path: Path) -> None:
    begun(tmp_path)
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        flip_a_byte(tmp_path / name)
    trained, notes = resume(tmp_path)
    assert "starts again" in notes[2]
    assert equal(outcome(trained), outcome(train(RUN, tmp_path / "whole")))


def lacks_a_key(state: dict[str, Any]) -> None:
    del state["limit"]


def lacks_the_optimizers_state(state: dict[str, Any]) -> None:
    state["optimizer"]["state"] = {}


def is_of_an_older_version(state: dict[str, Any]) -> None:
    del state["version"]


def is_of_a_newer_version(state: dict[str, Any]) -> None:
    state["version"] += 1


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lacks_a_key, "incomplete"),
        (lacks_the_optimizers_state, "incomplete"),
        (is_of_an_older_version, "another version"),
        (is_of_a_newer_version, "another version"),
    ],
)
def test_a_checkpoint_that_is_incomplete_or_of_another_version_is_not_used(
    edit: Any, said: str, tmp_path: Path
) -> None:
    begun(tmp_path)
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        state = torch.load(tmp_path / name, weights_only=True)
        edit(state)
        torch.save(state, tmp_path / name)
    trained, notes = resume(tmp_path)
    assert [said in note for note in notes] == [True, True, False]
    assert notes[2] == "training starts again from the beginning"
    assert equal(outcome(trained), outcome(train(RUN, tmp_path / "whole")))


def test_of_two_checkpoints_the_complete_one_is_used(tmp_path: Path) -> None:
    state = torch.load(begun(tmp_path) / CHECKPOINT, weights_only=True)
    lacks_the_optimizers_state(state)
    torch.save(state, tmp_path / CHECKPOINT)
    _, notes = resume(tmp_path)
    assert "incomplete" in notes[0]
    assert notes[1] == "resumes after epoch 1 and 1 batches of 2"


def test_a_checkpoint_that_may_not_be_read_is_not_trained_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, RUN, {"number": 1})

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint.zipfile, "ZipFile", denied)
    with pytest.raises(ResultsError, match=r"Permission denied.*; allow it"):
        checkpoint.load(tmp_path, RUN)


def test_every_flipped_byte_of_a_tensor_is_detected(tmp_path: Path) -> None:
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


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(
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


def test_a_process_killed_between_the_two_renamings_loses_nothing(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, RUN, {"number": 1})
    (tmp_path / CHECKPOINT).rename(tmp_path / PREVIOUS_CHECKPOINT)
    (tmp_path / f".{CHECKPOINT}.abcd1234.pt").write_bytes(b"half")
    state, notes = checkpoint.load(tmp_path, RUN)
    assert state is not None
    assert (state["number"], notes) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == [PREVIOUS_CHECKPOINT]


def test_a_finished_run_leaves_no_checkpoint(tmp_path: Path) -> None:
    for number in range(2):
        checkpoint.save(tmp_path, RUN, {"number": number})
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.discard(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_training_resumed_after_its_last_epoch_knows_its_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = interrupted_after_the_epochs(tmp_path, monkeypatch)
    assert (trained.state.resumed, trained.micro_batch) == (1, 5)


def test_after_the_last_batch_of_an_epoch_nothing_is_saved_before_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed there, an epoch would have no batch that shows on which device its losses are."""
    save, batches = checkpoint.save, []

    def noted(folder: Path, run: Any, state: dict[str, Any]) -> None:
        batches.append(state["batch"])
        save(folder, run, state)

    monkeypatch.setattr(checkpoint, "save", noted)
    train(small_run(), tmp_path, checkpoint_seconds=0)
    assert batches == [1, 2, 3, 0] * 2
