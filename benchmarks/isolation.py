"""Runs a function in a process of its own: it reports while it works, and its death is an ordinary exception.

Why not an executor of the standard library or of loky, or `torch.multiprocessing.spawn`? An executor reports a dead
worker without the signal that killed it, and none of its workers ends when the parent is killed. `spawn` passes on
neither a return value nor the exception itself, only its text. None of them carries messages during the work. With a
pipe and a watcher thread added for that, little more than `Process.start` would be left of them here.
"""

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

GRACE_SECONDS = 10.0
"""How long an interrupted process may take to end by itself."""

Send = Callable[[Any], None]


class WorkerDied(Exception):  # noqa: N818 - reads as what it is
    """The process ended without a result; the message says how, in one line."""

    signal: int | None = None
    """The signal that ended it, if one did."""


def run_isolated(fn: Callable[..., Any], *args: Any, on_message: Callable[[Any], None]) -> Any:
    """`fn(*args, send)` in a fresh process; `on_message(message)` is called here for each `send(message)` there.

    `fn`, its arguments, messages and result are pickled. Returns what `fn` returns and raises what it raises; raises
    `WorkerDied` if the process dies, and `KeyboardInterrupt` if the process receives SIGTERM. The process never
    outlives this one, even if this one is killed.
    """
    receiver, sender = _context().Pipe(duplex=False)
    process = _context().Process(target=_run, args=(sender, fn, args))
    process.start()
    sender.close()
    try:
        return _receive(receiver, process, on_message)
    finally:
        _stop(process)
        receiver.close()


@cache
def _context() -> ForkServerContext:
    """A fork server that has imported what a Run needs and nothing else: a new process starts in a tenth of a second,
    and the server has neither threads nor an open GPU, which must not be forked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.worker"])
    return context


def _receive(pipe: connection.Connection, process: BaseProcess, on_message: Callable[[Any], None]) -> Any:
    """Passes messages on until the result arrives."""
    while True:
        try:
            kind, content = pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            death = WorkerDied(_describe_exit(process.exitcode))
            death.signal = -process.exitcode if process.exitcode and process.exitcode < 0 else None
            raise death from None
        if kind == "message":
            on_message(content)
            continue
        process.join(GRACE_SECONDS)
        if kind == "error":
            raise content
        return content


def _describe_exit(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "its process was killed (SIGKILL); if nobody did that, memory ran out: take a smaller batch_size"
    if exit_code is not None and exit_code < 0:
        return f"its process died of {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code} and no result"


def _stop(process: BaseProcess) -> None:
    """Interrupts a process that still runs, and kills it if it does not end."""
    try:
        if process.is_alive():
            process.terminate()
            process.join(GRACE_SECONDS)
    finally:  # also after a second Ctrl-C
        if process.is_alive():
            process.kill()
            process.join()


def _run(pipe: connection.Connection, fn: Callable[..., Any], args: Sequence[Any]) -> None:
    """What the new process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the parent passes it on as SIGTERM
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's preemption signal reaches both, too
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    outcome: tuple[str, Any]
    try:
        outcome = "result", fn(*args, lambda message: pipe.send(("message", message)))
    except (Exception, KeyboardInterrupt) as error:
        outcome = "error", error
    pipe.send(outcome)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
