"""Ctrl-C and SIGTERM are answered within two seconds wherever a command is: by one line, and exit code 130 or 143."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import psutil

PATIENCE = 1.5
"""Seconds in which a command may end by itself: stop its processes and say how to go on."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and how `kill`, clusters and systems that shut down ask a program to end."""
SHOW_CURSOR = "\x1b[?25h"

_state = {"loading": False, "happened": False, "answered": False, "number": signal.SIGINT}


def watch() -> None:
    """From now on `SIGNALS` end this process: until `loaded` is called at once; from then on the first is raised as
    `KeyboardInterrupt`, and a process that does not end by itself soon is ended."""
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as scripts do in background
    _state["loading"] = True
    # A handler waits until code in C returns, and what it raises gets lost in a destructor. So a thread sees to it.
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_end_soon_after, args=(heard, heeded), name="interruption", daemon=True).start()
    for number in heeded:
        signal.signal(number, _interrupt)


def loaded() -> None:
    """Says that this process now answers `KeyboardInterrupt`. A library that is being loaded may turn it into another
    error."""
    _state["loading"] = False


def happened() -> bool:
    """Whether there was one of `SIGNALS`."""
    return bool(_state["happened"])


def exit_code() -> int:
    """What shells report of a program that the signal ended; without one, as after a Ctrl-C."""
    return 128 + _state["number"]


def answered() -> None:
    """Says that the user was told how to go on, so that `end` has nothing to add."""
    _state["answered"] = True


def end() -> NoReturn:
    """Ends this process and those it started. Their files are whole at any time, so they have nothing to lose."""
    try:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if not any("resource_tracker" in word for word in child.cmdline()):  # it cleans up and ends by itself
                    child.kill()
        if select.select([], [2], [], 0)[1]:  # a terminal may be stopped
            os.write(2, (SHOW_CURSOR * os.isatty(2) + "interrupted\n" * (not _state["answered"])).encode())
    finally:
        os._exit(exit_code())


def _interrupt(number: int, frame: FrameType | None) -> None:
    first = not _state["happened"]
    if first:
        _state.update(happened=True, number=number)
    if _state["loading"]:
        end()
    if first:
        raise KeyboardInterrupt


def _end_soon_after(heard: int, heeded: Sequence[int]) -> None:
    while not set(heeded).intersection(os.read(heard, 64)):
        pass
    time.sleep(PATIENCE)
    end()
