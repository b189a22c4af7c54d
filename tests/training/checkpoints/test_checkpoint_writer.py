"""Checkpoints are written while the training goes on: whole, one at a time, and as the state was when captured."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.checkpoints.writer import CheckpointWriter, host_copy
from results.errors import ResultsError
from tests.helpers.small_training import equal, small_run, train

RUN, CPU = small_run(), torch.device("cpu")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, no checkpoint is written."""
    save, release = checkpoint.save, threading.Event()

    def when_released(folder: Path, run: Any, state: dict[str, Any]) -> None:
        assert release.wait(60)
        save(folder, run, state)

    monkeypatch.setattr(checkpoint, "save", when_released)
    return release


def saved(folder: Path) -> dict[str, Any]:
    state, notes = checkpoint.load(folder, RUN)
    assert state is not None
    assert notes == []
    return state


def test_what_is_written_is_what_was_captured_whatever_the_training_does_meanwhile(
    held: threading.Event, tmp_path: Path
) -> None:
    weights, history = torch.zeros(3), [{"epoch": 1}]
    with CheckpointWriter(tmp_path, RUN, 60) as writer:
        writer.save({"weights": weights, "history": history}, CPU)
        weights += 1
        history[0]["epoch"] = 2
        history.append({"epoch": 3})
        held.set()
    state = saved(tmp_path)
    assert (state["weights"].tolist(), state["history"]) == ([0, 0, 0], [{"epoch": 1}])


def test_what_is_written_equals_what_is_saved_at_once(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).to(
        memory_format=torch.channels_last
    )
    state = {"method": network.state_dict(), "notes": ["one"], "pair": (1, None), "losses": {"a": torch.tensor(0.5)}}
    for name in ("at_once", "written"):
        (tmp_path / name).mkdir()
    checkpoint.save(tmp_path / "at_once", RUN, state)
    with CheckpointWriter(tmp_path / "written", RUN, 60) as writer:
        writer.save(state, CPU)
    at_once, written = saved(tmp_path / "at_once"), saved(tmp_path / "written")
    assert equal(at_once, written)
    assert at_once["method"]._metadata == written["method"]._metadata  # versions, which load_state_dict reads
    assert at_once["method"]["0.weight"].stride() == written["method"]["0.weight"].stride()


def test_a_checkpoint_is_written_after_the_one_before_it(held: threading.Event, tmp_path: Path) -> None:
    with CheckpointWriter(tmp_path, RUN, 0) as writer:
        writer.save({"number": 1}, CPU)
        threading.Timer(0.2, held.set).start()
        assert writer.save({"number": 2}, CPU) > 0.1  # it waited for the first
    assert saved(tmp_path)["number"] == 2
    (tmp_path / "checkpoint.pt").unlink()
    assert saved(tmp_path)["number"] == 1


@pytest.mark.parametrize("then", ["due", "save", "end"])
def test_a_checkpoint_that_could_not_be_written_stops_the_training_soon(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def full(state: Any, path: Path) -> None:
        failed.set()
        raise OSError(28, "No space left on device")

    def training() -> None:
        with CheckpointWriter(tmp_path, RUN, 60) as writer:
            writer.save({"number": 1}, CPU)
            writer.finish()
            monkeypatch.setattr(torch, "save", full)
            writer.save({"number": 2}, CPU)
            assert failed.wait(60)
            if then == "save":
                writer.save({"number": 3}, CPU)
            while then == "due":
                assert not writer.due

    with pytest.raises(ResultsError, match="No space left on device"):
        training()
    monkeypatch.undo()
    assert saved(tmp_path)["number"] == 1


def test_an_interrupted_training_keeps_the_checkpoint_that_was_on_its_way(
    held: threading.Event, tmp_path: Path
) -> None:
    def training() -> None:
        with CheckpointWriter(tmp_path, RUN, 60) as writer:
            writer.save({"number": 1}, CPU)
            threading.Timer(0.2, held.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training()
    assert saved(tmp_path)["number"] == 1


def test_the_interval_grows_where_the_training_waits_long_for_a_checkpoint(
    held: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("benchmarks.training.checkpoints.writer.time.monotonic", lambda: now)
    held.set()
    with CheckpointWriter(tmp_path, RUN, 60) as writer:
        assert not writer.due
        now += 61
        assert writer.due

        def slow(value: Any) -> Any:
            nonlocal now
            now += 2
            return {}

        monkeypatch.setattr("benchmarks.training.checkpoints.writer.host_copy", slow)
        assert writer.save({}, CPU) == 2
        writer.finish()
        now += 199
        assert not writer.due
        now += 2
        assert writer.due


def test_no_more_than_five_minutes_of_a_training_are_lost_however_long_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def slow(value: Any) -> Any:
        nonlocal now
        now += 30
        return {}

    monkeypatch.setattr("benchmarks.training.checkpoints.writer.time.monotonic", lambda: now)
    monkeypatch.setattr("benchmarks.training.checkpoints.writer.host_copy", slow)
    with CheckpointWriter(tmp_path, RUN, 60) as writer:
        writer.save({}, CPU)
        writer.finish()
        now += 301
        assert writer.due


def test_no_checkpoint_is_due_while_the_training_would_wait_for_the_one_before(
    held: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("benchmarks.training.checkpoints.writer.time.monotonic", lambda: now)
    with CheckpointWriter(tmp_path, RUN, 60) as writer:
        writer.save({}, CPU)
        now += 61
        assert not writer.due
        held.set()
        writer.finish()
        assert writer.due


def test_a_gpus_tensors_are_copied_to_the_host_with_their_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTensorMode():
        weights = torch.empty(4, 3, 2, 2, device="cuda").to(memory_format=torch.channels_last)
        copied = host_copy(OrderedDict(weights=weights, steps=[torch.empty((), device="cuda")]))
    assert copied["weights"].device == copied["steps"][0].device == CPU
    assert copied["weights"].stride() == weights.stride()


def test_an_epochs_end_alone_writes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the end of the last epoch does: a method's own last step may take long."""
    save, epochs = checkpoint.save, []

    def noted(folder: Path, run: Any, state: dict[str, Any]) -> None:
        epochs.append(state["epoch"])
        save(folder, run, state)

    monkeypatch.setattr(checkpoint, "save", noted)
    trained = train(small_run(epochs=3), tmp_path, checkpoint_seconds=3600)
    assert epochs == [3]
    assert trained.state.checkpoint_seconds > 0
    assert trained.state.evaluation_seconds > 0
