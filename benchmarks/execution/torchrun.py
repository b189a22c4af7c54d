"""A plan on several processes, as torchrun starts them: the first goes through it and writes, all of them train."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Literal

from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.training.distributed import Processes
from benchmarks.training.listener import Silent
from benchmarks.training.state import Diverged
from benchmarks.training.train import Trainer
from results.settings import AnyRun, ProfileRun, Run
from results.store import ResultStore

ALIKE = (Diverged, *REFUSED)
"""Errors that all processes meet at the same place: the plan goes on. After another the others would wait for ever."""

Word = Run | Literal["wait"] | None


def size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def follows() -> bool:
    """Whether this is one of those that train along."""
    return int(os.environ.get("RANK", "0")) > 0


def check(runs: Iterable[AnyRun]) -> None:
    """Raises `UserError` for measurements among the Runs of several processes: one makes them, and the others would
    wait for it, at work on the machine that is measured, until their patience ends (NCCL's: ten minutes)."""
    if size() > 1 and any(isinstance(run, ProfileRun) for run in runs):
        raise UserError("measurements are made by one process: add --only job=train, and start them without torchrun")


def say(word: Word, environment: Environment) -> None:
    """Tells the others what is next: a Run, to wait for another word, or that there is no more."""
    if size() > 1:
        Processes.join(environment.device).gather(word)


def follow(store: ResultStore, environment: Environment) -> None:
    """Trains what the first process says, until it says that there is no more."""
    processes = Processes.join(environment.device)
    while (word := processes.gather(None)[0]) is not None:
        if isinstance(word, Run):
            with contextlib.suppress(*ALIKE):
                Trainer(word, environment, store.folder(word.id), Silent()).train()
