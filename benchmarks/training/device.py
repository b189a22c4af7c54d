"""How a device computes: how exactly, from which random numbers, and whether its memory was too small."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from results.values.text import counted


@contextlib.contextmanager
def numerics(precision: str, deterministic: bool = False) -> Iterator[None]:
    """Within, float32 is as exact as `precision` says, and a GPU repeats itself if `deterministic`.

    Then an operation that a GPU can't repeat raises `RuntimeError`. New memory is not filled with NaN, as torch would
    do at the cost of a launch for each new tensor: the contract tests check that no method reads what was not written.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # mypy does not see the attribute of its module's own type
    filled = memory.fill_uninitialized_memory
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cudnn.allow_tf32 = precision == "tf32"  # torch's default is True
    cudnn.benchmark = not deterministic  # cuDNN picks the fastest convolution by trial, and may pick another next time
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])
        memory.fill_uninitialized_memory = filled


@contextlib.contextmanager
def threads_restored() -> Iterator[None]:
    """Within, the number of torch's threads may be set; afterwards it is as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_threads(count: int) -> str | None:
    """Sets the number of torch's threads, which decides how a CPU's sums are rounded; a line if it was another."""
    before = torch.get_num_threads()
    if count == before:
        return None
    torch.set_num_threads(count)
    return f"continues with {counted(count, 'thread')}, as it was begun; this process would use {before}"


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Gives each epoch and each process its own stream of the random numbers that methods draw."""
    # A key that ends in 0 equals the key without it, and the key (number,) belongs to a batch.
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=(rank, 1) if rank else ())
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 2))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the generators that methods draw from: torch's on the host, and the GPU's."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Restores what `random_state` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",
    "could not create a memory",
    "cannot allocate memory",
    "cuda out of memory",
    "cuda error: out of memory",
    "driver error: out of memory",
    "triton error [cuda]: out of memory",
    "unable to find an engine",  # cuDNN: each algorithm that it tried needs more memory
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
"""Messages (in lower case) of libraries below torch, whose errors have no type of their own."""


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, its cause or its context says that memory was too small, on any device.

    torch.compile wraps the errors that it meets and hides their cause; the wrapped error counts too.
    """
    if error is None:
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, (RuntimeError, OSError)) and any(
        words in str(error).lower() for words in OUT_OF_MEMORY_MESSAGES
    ):
        return True
    wrapped = getattr(error, "inner_exception", None)
    return any(ran_out_of_memory(one) for one in (wrapped, error.__cause__ or error.__context__))


def gpu_ran_out_of_memory(error: Exception, device: torch.device) -> bool:
    """Whether a GPU's memory was too small. Of a CPU's memory nothing is known that a smaller batch would help."""
    return isinstance(error, torch.OutOfMemoryError) or (device.type == "cuda" and ran_out_of_memory(error))


class OutOfMemoryWithoutGradients(torch.OutOfMemoryError):
    """A GPU's memory was too small for what computes without gradients. Fewer images at a time help there, and change
    no result."""


@contextlib.contextmanager
def nothing_learns(device: torch.device) -> Iterator[None]:
    """Within, a lack of the GPU's memory is raised as `OutOfMemoryWithoutGradients`."""
    try:
        yield
    except Exception as error:
        if not gpu_ran_out_of_memory(error, device):
            raise
        raise OutOfMemoryWithoutGradients(str(error)) from error


def allocated(device: torch.device) -> int:
    """Bytes of this process's tensors on a GPU; 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
