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
from benchmarks.isolation import Tell, WorkerDied

ROOT = Path(__file__).parents[2]


def count(upto: int, tell: Tell) -> int:
    for number in range(upto):
        tell(number)
    return os.getpid()


def raise_error(tell: Tell) -> None:
    raise ValueError("out of luck")


def die(how: int, tell: Tell) -> None:
    os.kill(os.getpid(), how)
    time.sleep(60)


def leave(tell: Tell) -> None:
    os._exit(3)


def tell_and_sleep(tell: Tell) -> None:
    tell(os.getpid())
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
    pid = isolation.call(count, 5, hear=words.append)
    assert words == [0, 1, 2, 3, 4]
    assert pid != os.getpid()
    assert gone(pid)


def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="out of luck"):
        isolation.call(raise_error, hear=print)


@pytest.mark.parametrize(
    ("how", "said"),
    [(signal.SIGKILL, "killed .SIGKILL.; if nobody did that, memory ran out"), (signal.SIGSEGV, "died of SIGSEGV")],
)
def test_a_death_by_a_signal_is_told_in_a_sentence(how: signal.Signals, said: str) -> None:
    with pytest.raises(WorkerDied, match=said) as death:
        isolation.call(die, how, hear=print)
    assert death.value.signal == how


def test_an_end_without_an_answer_is_told_with_its_exit_code() -> None:
    with pytest.raises(WorkerDied, match="exit code 3") as death:
        isolation.call(leave, hear=print)
    assert death.value.signal is None


def test_one_that_is_asked_to_end_was_interrupted_and_did_not_fail() -> None:
    with pytest.raises(KeyboardInterrupt):
        isolation.call(die, signal.SIGTERM, hear=print)


def test_an_interrupted_caller_ends_it() -> None:
    heard: list[int] = []

    def interrupt(pid: int) -> None:
        heard.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        isolation.call(tell_and_sleep, hear=interrupt)
    assert gone(heard[0])


def test_it_ends_with_a_caller_that_is_killed() -> None:
    code = (
        "from benchmarks import apart; import test_apart; "
        "apart.call(test_apart.tell_and_sleep, hear=lambda pid: print(pid, flush=True))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    ) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        assert psutil.pid_exists(pid)
        caller.kill()
    assert gone(pid)
