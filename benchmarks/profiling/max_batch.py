"""The largest batch that fits: doubled until it doesn't, then halved in between, each size tried in a fresh process."""

from __future__ import annotations

import signal
from collections.abc import Callable

import torch

from benchmarks import isolation
from benchmarks.profiling import memory
from benchmarks.profiling.profiled_method import Cell
from benchmarks.training.numerics import numerics
from benchmarks.training.out_of_memory import ran_out
from results.settings import ProfileRun
from results.speed import Mode

MOST = 2**16
"""Images beyond which nothing is tried."""
OUT_OF_MEMORY: dict[str, tuple[int, ...]] = {
    "cuda": (signal.SIGKILL,),
    "cpu": (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS),
}
"""Signals that end a try because of memory: the system was faster than the limit, or, of a CPU's memory, a library used
what it was given without a look whether it was given anything."""
RESOLUTION = 16
"""The answer is right within this part of it."""


def largest_batch(run: ProfileRun, mode: Mode, limit: int) -> int:
    """Images of the largest batch with which two steps fit into `limit` bytes; 0 if not even one does.

    Raises `apart.Died` if a try ends by anything but a lack of memory.
    """

    def fits(size: int) -> bool:
        asked = run.model_copy(update={"batch_size": size})
        try:
            return bool(isolation.call(try_out, asked, mode, limit, hear=lambda _: None))
        except isolation.WorkerDied as death:
            if death.signal not in OUT_OF_MEMORY[run.device]:
                raise
            return False

    return search(fits, run.batch_size)


def search(fits: Callable[[int], bool], start: int) -> int:
    """The largest number that `fits`, within a sixteenth, begun at `start`; 0 if 1 does not."""
    low, high = 0, start
    while high <= MOST and fits(high):
        low, high = high, 2 * high
    if low == 0:
        while high > 1 and not fits(high // 2):
            high //= 2
        low = high // 2
    while high - low > max(1, low // RESOLUTION) and low < MOST:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def try_out(run: ProfileRun, mode: Mode, limit: int, tell: isolation.Tell) -> bool:
    """Whether two steps fit; the second has the optimiser's state from the beginning."""
    device = torch.device(run.device)
    try:
        with numerics(run.precision), memory.limited(device, limit):
            cell = Cell(run)
            if run.compile:
                cell.compile()
            step = cell.step(mode)
            with cell.learning():
                for _ in range(2):
                    step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
    except Exception as error:
        if ran_out(error):
            return False
        raise
    return True
