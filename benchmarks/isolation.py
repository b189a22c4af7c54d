"""Functions in processes of their own: each reports while it works, and its death is an ordinary exception.

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
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import connection, resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from benchmarks import output

GRACE_SECONDS = 10.0
"""How long a process may take to end after its result."""
INTERRUPTED_SECONDS = 1.0
"""How long an interrupted process may take to end by itself: a person waits, and it has nothing to save."""

Send = Callable[[Any], None]


class WorkerDied(Exception):  # noqa: N818 - reads as what it is
    """The process ended without a result; the message says how, in one line."""

    signal: int | None = None
    """The signal that ended it, if one did."""


class Isolated:
    """`fn(*args, send)` in a process of its own, from now on.

    `fn`, its arguments, messages and result are pickled. The process never outlives this one, even if this one is
    killed. Who makes it ends it: with `stop`, whatever became of it.
    """

    def __init__(self, fn: Callable[..., Any], *args: Any, on_message: Callable[[Any], None]) -> None:
        """`on_message(message)` is called by `hear` for each `send(message)` there. Raises `WorkerDied` if no process
        can be started."""
        self.on_message = on_message
        self.pipe, sender = _context().Pipe(duplex=False)
        self.process = _context().Process(target=_run, args=(sender, fn, args))
        try:
            _start(self.process)
            sender.close()
        except BaseException:
            stop([self])
            raise
        self._outcome: tuple[str, Any] | None = None

    def hear(self) -> bool:
        """Waits for the next message and passes it on; True once there is none: `result` is known."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            self._outcome = "error", _death(self.process.exitcode)
            return True
        if kind == "message":
            self.on_message(content)
            return False
        self.process.join(GRACE_SECONDS)
        self._outcome = ("error", _death(-signal.SIGTERM)) if kind == "terminated" else (kind, content)
        return True

    def result(self) -> Any:
        """What `fn` returned. Raises what it raised; `WorkerDied` if the process died, also by SIGTERM."""
        while self._outcome is None:
            self.hear()
        kind, content = self._outcome
        if kind == "error":
            raise content
        return content


def run_isolated(fn: Callable[..., Any], *args: Any, on_message: Callable[[Any], None]) -> Any:
    """`fn(*args, send)` in a fresh process, to its end: what `Isolated.result` returns and raises."""
    work = Isolated(fn, *args, on_message=on_message)
    try:
        return work.result()
    finally:
        stop([work])


def first_ended(working: Sequence[Isolated], seconds: float | None) -> Isolated | None:
    """Waits until one of several has ended, and passes on their messages meanwhile; None if `seconds` are over."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if until is None else max(until - time.monotonic(), 0)
        ready = connection.wait([one.pipe for one in working], left)
        for one in working:
            if one.pipe in ready and one.hear():
                return one
        if not ready:
            return None


def stop(working: Sequence[Isolated]) -> None:
    """Interrupts those that still run, all at once, and kills those that do not end."""
    processes = [one.process for one in working if one.process.pid is not None]
    try:
        for process in processes:
            if process.is_alive():
                process.terminate()
        until = time.monotonic() + INTERRUPTED_SECONDS
        for process in processes:
            process.join(max(until - time.monotonic(), 0))
    finally:  # also after a second Ctrl-C
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
        for one in working:
            one.pipe.close()


@cache
def _context() -> ForkServerContext:
    """A fork server that has imported what a Run needs and nothing else: a new process starts in a tenth of a second,
    and the server has neither threads nor an open GPU, which must not be forked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.execution.worker"])
    return context


def _start(process: BaseProcess) -> None:
    """Starts the process. The first one waits some seconds for the fork server to load, and can be interrupted.

    Raises `WorkerDied` if the fork server dies meanwhile.
    """
    errors: list[Exception] = []

    def start() -> None:
        resource_tracker.ensure_running()  # first, since it resets the mask
        # The server inherits the mask: while it loads, Ctrl-C would end it with a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        except (OSError, EOFError) as error:
            errors.append(error)

    starter = threading.Thread(target=start, daemon=True)  # the main thread alone hears signals
    starter.start()
    try:
        starter.join()
    except KeyboardInterrupt:
        if process.pid is None:
            _kill_server()
            starter.join()
        raise
    if errors:
        raise WorkerDied(f"its process could not be started ({errors[0] or type(errors[0]).__name__})") from errors[0]


def _kill_server() -> None:
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in child.cmdline()):
                child.kill()


def _death(exit_code: int | None) -> WorkerDied:
    number = -exit_code if exit_code is not None and exit_code < 0 else None
    if number == signal.SIGKILL:
        how = "was killed (SIGKILL); if nobody did that, memory ran out: take a smaller batch_size"
    elif number == signal.SIGTERM:
        how = "was asked to end (SIGTERM)"
    elif number is not None:
        how = f"died of {_name(number)}"
    else:
        how = f"ended with exit code {exit_code} and no result"
    death = WorkerDied(f"its process {how}")
    death.signal = number
    return death


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def _run(pipe: connection.Connection, fn: Callable[..., Any], args: Sequence[Any]) -> None:
    """What the new process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the parent passes it on as SIGTERM
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's preemption signal reaches both, too
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    output.tolerate()
    outcome: tuple[str, Any]
    try:
        outcome = "result", fn(*args, lambda message: pipe.send(("message", message)))
    except KeyboardInterrupt:
        outcome = "terminated", None
    except Exception as error:
        outcome = "error", error
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send(outcome)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends already
    raise KeyboardInterrupt


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
