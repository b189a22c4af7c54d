"""Which GPU a Run would use, asked without opening CUDA in this process.

An open CUDA context takes some hundred MB of the GPU for as long as its process lives. The process that carries out a
plan lives longest of all, and would take them beside every measurement. So it asks a short child process, once.
"""

from __future__ import annotations

import multiprocessing
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import isolation
from benchmarks.errors import UserError, first_line

if TYPE_CHECKING:
    import torch


class Gpu(NamedTuple):
    """What torch and the driver say of the GPU; CUDA_VISIBLE_DEVICES decides which it is."""

    name: str
    uuid: str
    """The driver's identifier. Torch's number differs from the driver's if CUDA_VISIBLE_DEVICES is set."""
    memory: int
    """All of its bytes."""
    free: int
    """Bytes that no process used when it was asked for the first time."""


def gpu(device: torch.device | str) -> Gpu:
    """The GPU `device`. Raises `UserError` if it can't be used."""
    import torch

    if torch.cuda.is_initialized() or multiprocessing.parent_process() is not None:  # the process of a Run opens CUDA
        return _look(str(device))
    return asked(str(device))


@cache
def asked(device: str) -> Gpu:
    """The same, from a child process, and remembered."""
    try:
        found: Gpu = isolation.run_isolated(_answer, device, on_message=lambda _: None)
    except (RuntimeError, AssertionError, isolation.WorkerDied) as error:  # torch raises both for a missing driver
        raise UserError(f"the GPU can't be used ({first_line(error)}); use --device cpu") from error
    return found


def _answer(device: str, send: isolation.Send) -> Gpu:
    return _look(device)


def _look(device: str) -> Gpu:
    import torch

    free, memory = torch.cuda.mem_get_info(device)
    return Gpu(torch.cuda.get_device_name(device), f"GPU-{torch.cuda.get_device_properties(device).uuid}", memory, free)
