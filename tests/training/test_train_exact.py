"""A Run depends on nothing but its settings: repeated, interrupted or killed anywhere, it ends with the same bits."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

import methods
from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from results.files import write_whole
from results.settings import Run
from tests.helpers.small_training import Interrupts, equal, outcome, small_run, train

KILLS = 20
EACH_BATCH = Environment(execution=Execution(checkpoint_seconds=0))

SUBJECTS: dict[str, dict[str, Any]] = {
    "draws of its own": {"method": "plain", "options": {"dropout": 0.5}},
    "mixed images": {"method": "plain", "augment": {"mixing": {"mixup": 0.2, "cutmix": 1.0}}},
    "two phases": {"method": "bilinear_cnn"},
    "state of its own": {"method": "ws_dan", "image_size": 64, "stored_size": 64},
    "filters from k-means": {"method": "dfl_cnn", "image_size": 64, "stored_size": 64},
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_run_repeated_or_interrupted_again_and_again_gives_the_same_bits(subject: str, tmp_path: Path) -> None:
    run = small_run(**SUBJECTS[subject])
    whole = outcome(train(run, tmp_path / "whole"))
    assert equal(outcome(train(run, tmp_path / "repeated")), whole)
    (tmp_path / "cut").mkdir()
    interruptions, trained = 0, None
    while trained is None:
        trainer = Trainer(run, EACH_BATCH, tmp_path / "cut", Interrupts(3))
        try:
            trained = trainer.train()
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions == trained.state.resumed == 3  # each attempt saves two of its three batches; there are eight
    assert equal(outcome(trained), whole)


@pytest.mark.parametrize(
    ("name", "function", "call"),
    [("pmg", "losses", 11), ("cal", "after_step", 3)],
    ids=["between the steps of a batch", "between a step and what follows it"],
)
def test_a_run_interrupted_within_a_batch_gives_the_same_bits(
    name: str, function: str, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch whose work was cut off is done again from the state before it."""
    run = small_run(name)
    whole = outcome(train(run, tmp_path / "whole"))
    method, calls = methods.load(name), count(1)
    own = getattr(method, function)

    def interrupting(*arguments: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return own(*arguments)

    monkeypatch.setattr(method, function, interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path / "cut", checkpoint_seconds=0)
    resumed = train(run, tmp_path / "cut", checkpoint_seconds=0)
    assert resumed.state.resumed == 1
    assert equal(outcome(resumed), whole)


def train_and_keep(run: Run, folder: Path) -> None:
    """The work of the process that is killed: trains, and writes the outcome to a file."""
    ended = outcome(Trainer(run, EACH_BATCH, folder, Silent()).train())
    write_whole(folder / "end.pt", lambda path: torch.save(ended, path))


def test_a_run_killed_at_any_moment_ends_with_the_same_bits(tmp_path: Path) -> None:
    run = small_run("bilinear_cnn", epochs=8, batch_size=2)
    whole = outcome(train(run, tmp_path / "whole"))
    context = multiprocessing.get_context("forkserver")  # each process begins with torch loaded
    context.set_forkserver_preload(["tests.helpers.small_training"])
    moments = random.Random(0)
    killed = attempts = 0
    while killed < KILLS:
        attempts += 1
        folder = tmp_path / str(attempts)
        folder.mkdir()
        while not (folder / "end.pt").is_file():
            process = context.Process(target=train_and_keep, args=(run, folder))
            process.start()
            process.join(moments.uniform(0.2, 2.0) if killed < KILLS else None)
            if process.is_alive():
                process.kill()
                killed += 1
            process.join()
            assert process.exitcode in (0, -9)
        assert equal(torch.load(folder / "end.pt"), whole)


def interrupted(run: Run, folder: Path, **execution: Any) -> None:
    """Trains six of eight batches."""
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        Trainer(run, Environment(execution=Execution(checkpoint_seconds=0, **execution)), folder, Interrupts(7)).train()


def resumed(run: Run, folder: Path, **execution: Any) -> tuple[TrainingResult, list[str]]:
    """The resumed training, and what it said."""
    listener = Interrupts()
    return Trainer(run, Environment(execution=Execution(**execution)), folder, listener).train(), listener.notes


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_run_begun_with_one_thread_and_resumed_by_a_process_with_two_keeps_one(
    set_threads: Callable[[int], None], tmp_path: Path
) -> None:
    run = small_run(image_size=64, stored_size=64)
    set_threads(2)
    with_two = outcome(train(run, tmp_path / "two"))
    set_threads(1)
    whole = train(run, tmp_path / "one")
    assert not equal(outcome(whole), with_two)  # else this test would show nothing
    interrupted(run, tmp_path / "cut")
    set_threads(2)
    trained, said = resumed(run, tmp_path / "cut")
    assert "continues with 1 thread, as it was begun; this process would use 2" in said
    assert equal(outcome(trained), outcome(whole))
    assert (trained.threads, trained.notes, torch.get_num_threads()) == (1, [], 2)


def test_a_run_begun_with_a_micro_batch_keeps_it_when_the_resuming_command_asks_for_none(tmp_path: Path) -> None:
    run = small_run()
    whole = train(run, tmp_path / "pieces", micro_batch=2)
    assert not equal(outcome(whole), outcome(train(run, tmp_path / "whole")))
    interrupted(run, tmp_path / "cut", micro_batch=2)
    trained, said = resumed(run, tmp_path / "cut")
    assert "continues with at most 2 images at a time, as before" in said
    assert equal(outcome(trained), outcome(whole))
    assert trained.micro_batch == whole.micro_batch


@pytest.mark.parametrize(("begun", "how"), [(2, "with --batch-size 2"), (None, "without --batch-size")])
def test_a_resume_that_asks_for_another_micro_batch_is_refused(begun: int | None, how: str, tmp_path: Path) -> None:
    run = small_run()
    interrupted(run, tmp_path / "cut", micro_batch=begun)
    with pytest.raises(UserError, match=f"begun {how}, and 3 would give other results; leave --batch-size out"):
        resumed(run, tmp_path / "cut", micro_batch=3)
    assert resumed(run, tmp_path / "cut", micro_batch=begun)[0].state.resumed == 1  # nothing was lost


def test_activations_that_are_computed_again_change_no_bit(tmp_path: Path) -> None:
    run = small_run(**SUBJECTS["state of its own"])
    whole = outcome(train(run, tmp_path / "whole"))
    assert equal(outcome(train(run, tmp_path / "checkpointed", checkpointing=True)), whole)
