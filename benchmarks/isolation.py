"""A function in a process of its own: what it tells is heard while it works, and its death is an error like another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing import connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

GRACE = 10.0
"""Seconds that an interrupted process has to end by itself."""

Tell = Callable[[Any], None]


class WorkerDied(Exception):  # noqa: N818 - reads as what it is
    """The process ended without an answer; one line says how."""

    signal: int | None = None
    """The signal that ended it, if one did."""


def call(work: Callable[..., Any], *arguments: Any, hear: Tell) -> Any:
    """`work(*arguments, tell)` in a fresh process; each `tell(word)` there is a `hear(word)` here.

    `work` is given by name, as pickle has it. Returns what it returns and raises what it raises; raises `WorkerDied` if
    the process dies, and `KeyboardInterrupt` if it is asked to end. It never outlives this process, however this one
    ends.
    """
    ours, theirs = _context().Pipe(duplex=False)
    process = _context().Process(target=_answer, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        return _listen(ours, process, hear)
    finally:
        _end(process)
        ours.close()


@cache
def _context() -> ForkServerContext:
    """Processes come from a server that has loaded what a Run needs, and nothing else: a fresh one is there in a tenth
    of a second, and the server holds neither threads nor a GPU that a fork could not take along."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.worker"])
    return context


def _listen(pipe: connection.Connection, process: BaseProcess, hear: Tell) -> Any:
    while True:
        try:
            kind, what = pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            death = WorkerDied(_how(process.exitcode))
            death.signal = -process.exitcode if process.exitcode and process.exitcode < 0 else None
            raise death from None
        if kind == "told":
            hear(what)
            continue
        process.join(GRACE)
        if kind == "raised":
            raise what
        return what


def _how(exit_code: int | None) -> str:
    """The end of a process in words."""
    if exit_code == -signal.SIGKILL:
        return "its process was killed (SIGKILL); if nobody did that, memory ran out: take a smaller batch_size"
    if exit_code is not None and exit_code < 0:
        return f"its process died of {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code} and no answer"


def _end(process: BaseProcess) -> None:
    """Asks a process that is still there to end, then makes it."""
    try:
        if process.is_alive():
            process.terminate()
            process.join(GRACE)
    finally:  # also where the user can't wait
        if process.is_alive():
            process.kill()
            process.join()


def _answer(pipe: connection.Connection, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the parent passes it on
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # so does a cluster's word that the job is preempted
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer: tuple[str, Any]
    try:
        answer = "returned", work(*arguments, lambda word: pipe.send(("told", word)))
    except (Exception, KeyboardInterrupt) as error:
        answer = "raised", error
    pipe.send(answer)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
