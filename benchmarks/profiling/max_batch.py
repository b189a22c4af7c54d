"""The largest batch that fits into memory, found by bisection; each size is tried in a fresh process.

Two others answer other questions: a sweep (`planning.batch_sweep`) measures every power of two until larger batches are
no faster, and a training (`training.engine.Engine.halve_micro_batch`) halves its batch after a lack of memory.
"""

from __future__ import annotations

import signal
from bisect import bisect_left
from collections.abc import Callable

import torch

from benchmarks import isolation
from benchmarks.profiling import memory
from benchmarks.profiling.profiled_method import ProfiledMethod
from benchmarks.training.device import numerics, ran_out_of_memory
from results.settings import ProfileRun
from results.speed import Mode

SIZES = (*range(1, 16), *(2**power * part // 16 for power in range(4, 16) for part in range(16, 32)), 2**16)
"""Batch sizes that are tried: neighbours differ by one image or a sixteenth at most."""
OUT_OF_MEMORY: dict[str, tuple[int, ...]] = {
    "cuda": (signal.SIGKILL,),
    "cpu": (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS),
}
"""Signals of a process that died for lack of memory: the system killed it before it reached the limit; or, on a CPU, a
library used memory without checking that it was allocated."""


def largest_batch(run: ProfileRun, mode: Mode, limit: int) -> int:
    """The largest of `SIZES` with which two steps fit into `limit` bytes; 0 if not even one image does.

    Raises `isolation.WorkerDied` if a try ends by anything but a lack of memory.
    """

    def fits(size: int) -> bool:
        try:
            resized = run.model_copy(update={"batch_size": size})
            return bool(isolation.run_isolated(steps_fit, resized, mode, limit, on_message=lambda _: None))
        except isolation.WorkerDied as death:
            if death.signal not in OUT_OF_MEMORY[run.device]:
                raise
            return False

    return search(fits)


def search(fits: Callable[[int], bool]) -> int:
    """The largest of `SIZES` that fits; 0 if none does."""
    first_too_large = bisect_left(SIZES, True, key=lambda size: not fits(size))
    return SIZES[first_too_large - 1] if first_too_large else 0


def steps_fit(run: ProfileRun, mode: Mode, limit: int, send: isolation.Send) -> bool:
    """Whether two steps fit; from the second on, the optimiser has its state, and CUDA graphs their memory."""
    device = torch.device(run.device)
    try:
        with numerics(run.precision), memory.limited(device, limit):
            profiled = ProfiledMethod(run)
            if run.compile:
                profiled.compile()
            step = profiled.step(mode)
            with profiled.learning():
                for _ in range(1 + profiled.rounds):
                    step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
    except Exception as error:
        if ran_out_of_memory(error):
            return False
        raise
    return True
