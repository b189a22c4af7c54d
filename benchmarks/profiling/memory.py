"""Memory in bytes: by phase of a step, its peak, how much is available, and a limit on it."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from benchmarks.hardware import peak_resident_bytes, reset_peak_resident, resident_bytes, status_bytes
from results.speed import Phase


class Peak:
    """Peak memory since the last `reset`; on a CPU, above what the process had when this object was made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.empty = reset_peak_resident()

    def reset(self) -> None:
        """Starts a new measurement."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # else memory freed by earlier work counts as reserved
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            reset_peak_resident()

    @contextlib.contextmanager
    def without(self) -> Iterator[None]:
        """Memory that the process keeps afterwards, such as a compiler's, does not count (CPU)."""
        before = resident_bytes()
        yield
        self.empty += max(resident_bytes() - before, 0)

    @property
    def bytes(self) -> int:
        """CUDA: peak of all tensors. CPU: how much the process grew."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return max(peak_resident_bytes() - self.empty, 0)

    @property
    def reserved(self) -> int | None:
        """CUDA: peak of what torch's allocator took from the GPU."""
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None


def by_phase(
    method: nn.Module, optimizer: torch.optim.Optimizer, steps: Callable[[], Iterator[object]]
) -> dict[Phase, int]:
    """Bytes held by tensors in the optimiser steps of a batch: of gradients and activations, the largest step's."""
    gradients = activations = 0
    with saved_for_backward([*method.parameters(), *method.buffers()]) as saved:
        for _ in steps():
            gradients = max(gradients, storage_bytes(one.grad for one in method.parameters() if one.grad is not None))
            activations = max(activations, sum(saved.values()))
            saved.clear()
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return {
        "weights": weights(method),
        "gradients": gradients,
        "optimizer": storage_bytes(states),
        "activations": activations,
    }


def weights(method: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return storage_bytes([*method.parameters(), *method.buffers()])


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors' storages, each counted once."""
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


@contextlib.contextmanager
def saved_for_backward(given: Iterable[Tensor] = ()) -> Iterator[dict[int, int]]:
    """Yields address -> bytes of each storage that a forward pass saves for the backward pass, without `given`."""
    known = {one.untyped_storage().data_ptr() for one in given}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield saved


def available(device: torch.device, limit: int | None) -> int:
    """Bytes that a Run may take: what is free now, at most `limit`. Some of a GPU's memory goes to a CUDA context; a
    CPU's is also limited by the control groups of this process."""
    if device.type == "cuda":
        unused, _ = torch.cuda.mem_get_info(device)
        free = unused + torch.cuda.memory_reserved(device)
    else:
        free = min([psutil.virtual_memory().available, *left_by_groups()])
    return free if limit is None else min(limit, free)


GROUPS = Path("/sys/fs/cgroup")
"""Linux's control groups, version 2: how containers and Slurm limit memory."""


def left_by_groups(membership: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Bytes that each control group of this process has left, including cached files that it could drop."""
    left = []
    with contextlib.suppress(OSError):
        of_version_2 = [line for line in membership.read_text().splitlines() if line.startswith("0::")]
        inner = GROUPS / of_version_2[0].removeprefix("0::/") if of_version_2 else GROUPS
        for group in (inner, *inner.parents):
            with contextlib.suppress(OSError, ValueError):  # no limit, or none that can be read
                most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
                counters = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                left.append(most - used + int(counters.get("inactive_file", 0)))
    return left


@contextlib.contextmanager
def limited(device: torch.device, limit: int) -> Iterator[None]:
    """Within, allocating more than `limit` bytes is an error; else the system might kill this process or another.

    On a GPU everything that torch's allocator takes counts; on a CPU (Linux), how much the process grows.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        # For the current device, which is `device`: the function accepts no device without a number.
        torch.cuda.set_per_process_memory_fraction(min(limit / total, 1.0))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    before = status_bytes("VmData")  # what counts against RLIMIT_DATA
    if before is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = before + limit
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
