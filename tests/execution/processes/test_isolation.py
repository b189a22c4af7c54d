"""A function in a process of its own: what it tells, and every way in which it may end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import isolation
from benchmarks.isolation import Send, WorkerDied

ROOT = Path(__file__).parents[3]


def count(upto: int, send: Send) -> int:
    for number in range(upto):
        send(number)
    return os.getpid()


def raise_error(send: Send) -> None:
    raise ValueError("out of luck")


def die(how: int, send: Send) -> None:
    os.kill(os.getpid(), how)
    time.sleep(60)


def leave(send: Send) -> None:
    os._exit(3)


def send_and_sleep(send: Send) -> None:
    send(os.getpid())
    time.sleep(60)


def gone(pid: int, seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
    return True


def test_it_is_another_process_whose_words_are_heard_in_their_order() -> None:
    words: list[int] = []
    pid = isolation.run_isolated(count, 5, on_message=words.append)
    assert words == [0, 1, 2, 3, 4]
    assert pid != os.getpid()
    assert gone(pid)


def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="out of luck"):
        isolation.run_isolated(raise_error, on_message=print)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (signal.SIGKILL, "killed .SIGKILL.; if nobody did that, memory ran out"),
        (signal.SIGTERM, "asked to end .SIGTERM."),
        (signal.SIGHUP, "died of SIGHUP"),
        (signal.SIGSEGV, "died of SIGSEGV"),
        (signal.SIGRTMIN + 5, "died of signal"),  # it has no name
    ],
)
def test_a_death_by_a_signal_is_told_in_a_sentence(how: int, said: str) -> None:
    with pytest.raises(WorkerDied, match=said) as death:
        isolation.run_isolated(die, how, on_message=print)
    assert death.value.signal == how


def test_an_end_without_an_answer_is_told_with_its_exit_code() -> None:
    with pytest.raises(WorkerDied, match="exit code 3") as death:
        isolation.run_isolated(leave, on_message=print)
    assert death.value.signal is None


def test_an_interrupted_caller_ends_it() -> None:
    heard: list[int] = []

    def interrupt(pid: int) -> None:
        heard.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        isolation.run_isolated(send_and_sleep, on_message=interrupt)
    assert gone(heard[0])


def test_it_ends_with_a_caller_that_is_killed() -> None:
    code = (
        f"from benchmarks.isolation import run_isolated; from {__name__} import send_and_sleep; "
        "run_isolated(send_and_sleep, on_message=lambda pid: print(pid, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        assert psutil.pid_exists(pid)
        caller.kill()
    assert gone(pid)
