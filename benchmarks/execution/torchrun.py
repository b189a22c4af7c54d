"""A plan on several processes started by torchrun: rank 0 goes through the plan and writes, all ranks train.

torch and pandas are imported where they are needed: the command line asks `is_follower` at its start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.training.listener import Silent
from results.settings import AnyRun, ProfileRun, Run

if TYPE_CHECKING:  # which loads pandas
    from results.store import ResultStore

Next = Run | Literal["wait"] | None
"""The next Run; "wait" for another broadcast; None at the end of the plan."""


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_follower() -> bool:
    """Whether this process is one of several, and not rank 0."""
    return world_size() > 1 and int(os.environ.get("RANK", "0")) > 0


def refuse_measurements(runs: Iterable[AnyRun]) -> None:
    """Raises `UserError` if several processes are to carry out measurements: one process measures, and the others would
    load the machine meanwhile and run into their timeout (NCCL's: ten minutes)."""
    if world_size() > 1 and any(isinstance(run, ProfileRun) for run in runs):
        raise UserError("measurements are made by one process: add --only job=train, and start them without torchrun")


def raised_on_all_ranks(error: Exception) -> bool:
    """Whether every rank meets this error at the same place, so that the plan can go on. After any other error the
    remaining ranks would wait forever."""
    from benchmarks.training.losses import Diverged

    return isinstance(error, (Diverged, *REFUSED))


def broadcast_next(step: Next, environment: Environment) -> None:
    """Sends the other ranks what comes next; does nothing in a single process."""
    if world_size() > 1:
        from benchmarks.training.distributed import Processes

        Processes.join(environment.device).gather(step)


def follow_rank0(store: ResultStore, environment: Environment) -> None:
    """Trains every Run that rank 0 broadcasts, until the end of the plan."""
    from benchmarks.training.distributed import Processes
    from benchmarks.training.train import Trainer

    processes = Processes.join(environment.device)
    while (step := processes.gather(None)[0]) is not None:
        if isinstance(step, Run):
            try:
                Trainer(step, environment, store.folder(step.id), Silent()).train()
            except Exception as error:
                if not raised_on_all_ranks(error):
                    raise
