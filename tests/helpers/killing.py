"""A small plan that is killed again and again: at the Nth call of a system function, or after a time."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.environment import Environment, Execution
from benchmarks.execution import execute
from results.settings import AnyRun
from results.store import ResultStore

HERE = Environment(execution=Execution(checkpoint_seconds=0))
"""A checkpoint after every batch: as many moments to be killed in as there can be."""
QUIET = Console(quiet=True)
POINTS = ("replace", "fsync", "unlink")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


def carry_out(runs: list[AnyRun], root: Path, arm: Callable[[], None] | None = None) -> None:
    """All of the plan, in this process; `arm` may see to it that the process is killed meanwhile."""
    if arm is not None:
        arm()
    execute.execute(runs, ResultStore(root), HERE, QUIET)


class DieAt:
    """Kills the process at the `number`th call of a function of `os`, just before or just after it."""

    def __init__(self, point: str, number: int, before: bool) -> None:
        self.point, self.number, self.before = point, number, before

    def __call__(self) -> None:
        """From now on."""
        called = getattr(os, self.point)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.number -= 1
            if self.number == 0 and self.before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = called(*arguments, **named)
            if self.number == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, self.point, counted)

    def __repr__(self) -> str:
        return f"SIGKILL {'before' if self.before else 'after'} {self.point} {self.number}"


def in_own_process(runs: list[AnyRun], root: Path, arm: Callable[[], None] | None = None) -> BaseProcess:
    """A process that carries out the plan as the command itself."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.worker"])
    process = context.Process(target=carry_out, args=(runs, root, arm))
    process.start()
    return process


def killed_at_a_point(runs: list[AnyRun], root: Path, draw: random.Random) -> str | None:
    """How the command was killed; None if it ended before."""
    doom = DieAt(draw.choice(POINTS), draw.randint(1, 12), draw.random() < 0.5)
    said = repr(doom)
    process = in_own_process(runs, root, doom)
    process.join()
    return said if process.exitcode == -signal.SIGKILL else None


def killed_after_a_time(runs: list[AnyRun], root: Path, draw: random.Random, longest: float) -> str | None:
    """The same, after a time of up to `longest` seconds."""
    seconds, how = draw.uniform(0, longest), draw.choice(SIGNALS)
    process = in_own_process(runs, root)
    process.join(seconds)
    if process.exitcode is None:
        os.kill(process.pid or 0, how)
    process.join()
    return f"{how.name} to the command after {seconds:.3f} s" if process.exitcode == -how else None


def worker_killed(runs: list[AnyRun], root: Path, draw: random.Random, longest: float) -> str | None:
    """The same for the process of a Run, while the command lives on; its Run has failed, or was done."""
    seconds, how = draw.uniform(0, longest), draw.choice(SIGNALS)

    def kill() -> None:
        until = time.monotonic() + 60
        while not (workers := multiprocessing.active_children()) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(seconds)
        for worker in workers:
            if worker.is_alive() and worker.pid:
                os.kill(worker.pid, how)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = execute.execute(runs, ResultStore(root), HERE, QUIET, own_process=True)
    killer.join()
    for run_id in summary.failed:
        record = ResultStore(root).read(run_id)
        assert record is not None
        assert how.name in (record.error or ""), record.error
    assert sorted(summary.failed + summary.done + summary.skipped) == sorted(run.id for run in runs), summary
    return f"{how.name} to the worker after {seconds:.3f} s" if summary.failed else None


def until_it_ends(runs: list[AnyRun], root: Path, draw: random.Random, longest: float) -> Iterator[str]:
    """Carries out the plan again after each kill until it ends by itself; yields how it was killed."""
    while True:
        kind = draw.random()
        if kind < 0.5:
            kill = killed_at_a_point(runs, root, draw)
        elif kind < 0.75:
            kill = killed_after_a_time(runs, root, draw, longest)
        else:
            kill = worker_killed(runs, root, draw, longest)
        if kill is None:
            return
        yield kill
