"""A Run depends on nothing but its settings: repeated, interrupted or killed anywhere, it ends with the same bits."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.environment import Environment, Execution
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from results.settings import Run
from results.store import write_whole
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
