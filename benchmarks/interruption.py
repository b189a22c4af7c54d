"""Ctrl-C is answered within two seconds wherever a command is, by one line and exit code 130."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import psutil

PATIENCE = 1.5
"""Seconds in which a command may end by itself: stop its processes and say how to go on."""
EXIT_CODE = 130
SHOW_CURSOR = "\x1b[?25h"

_state = {"loading": False, "happened": False, "answered": False}


def watch() -> None:
    """From now on a Ctrl-C ends this process: until `loaded` is called at once; from then on it is raised, one time, as
    `KeyboardInterrupt`, and a process that does not end by itself soon is ended."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a script
        return
    _state["loading"] = True
    # A handler waits until code in C returns, and what it raises gets lost in a destructor. So a thread sees to it.
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_end_soon_after, args=(heard,), name="interruption", daemon=True).start()
    signal.signal(signal.SIGINT, _interrupt)


def loaded() -> None:
    """Says that this process now answers `KeyboardInterrupt`. A library that is being loaded may turn it into another
    error."""
    _state["loading"] = False


def happened() -> bool:
    """Whether there was a Ctrl-C."""
    return _state["happened"]


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
        os._exit(EXIT_CODE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    first, _state["happened"] = not _state["happened"], True
    if _state["loading"]:
        end()
    if first:
        raise KeyboardInterrupt


def _end_soon_after(heard: int) -> None:
    while signal.SIGINT not in os.read(heard, 64):
        pass
    time.sleep(PATIENCE)
    end()
