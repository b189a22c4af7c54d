"""Bytes: by phase of a step, at its height, how many there are, and a limit on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from benchmarks.hardware import peak_resident_bytes, reset_peak_resident, resident_bytes
from results.speed import Phase


class Peak:
    """The height of memory since the last `reset`, above what the process had when this was made (CPU)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.empty = reset_peak_resident()

    def reset(self) -> None:
        """Begins a new count."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # or what earlier work gave back would count as reserved
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            reset_peak_resident()

    @contextlib.contextmanager
    def without(self) -> Iterator[None]:
        """What the process is larger by afterwards, as by a compiler, does not count (CPU)."""
        before = resident_bytes()
        yield
        self.empty += max(resident_bytes() - before, 0)

    @property
    def bytes(self) -> int:
        """CUDA: most that tensors took. CPU: what the process grew by."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return max(peak_resident_bytes() - self.empty, 0)

    @property
    def reserved(self) -> int | None:
        """CUDA: most that torch's allocator took from the GPU."""
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None


def by_phase(
    method: nn.Module, optimizer: torch.optim.Optimizer, steps: Callable[[], Iterator[object]]
) -> dict[Phase, int]:
    """What tensors hold in the optimiser steps of a batch; of gradients and activations, in the step with most."""
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
    """Each storage once."""
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


@contextlib.contextmanager
def saved_for_backward(given: Iterable[Tensor] = ()) -> Iterator[dict[int, int]]:
    """Yields address -> bytes of each storage that a forward pass leaves for the backward one, without `given`."""
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
    """Bytes that a Run may take: what nobody else uses now, `limit` at the most; of a GPU's, a context takes some
    too, and of a CPU's, no more is there than this process's control groups leave to it."""
    if device.type == "cuda":
        unused, _ = torch.cuda.mem_get_info(device)
        free = unused + torch.cuda.memory_reserved(device)
    else:
        free = min([psutil.virtual_memory().available, *_left_by_groups()])
    return free if limit is None else min(limit, free)


GROUPS = Path("/sys/fs/cgroup")
"""Linux's control groups, version 2: how containers and Slurm limit memory."""


def _left_by_groups(membership: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Bytes that each control group of this process still has, files that it could forget among them."""
    left = []
    with contextlib.suppress(OSError):
        of_version_2 = [line for line in membership.read_text().splitlines() if line.startswith("0::")]
        inner = GROUPS / of_version_2[0].removeprefix("0::/") if of_version_2 else GROUPS
        for group in (inner, *inner.parents):
            with contextlib.suppress(OSError, ValueError):  # no limit, or none that is told
                most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
                told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                left.append(most - used + int(told.get("inactive_file", 0)))
    return left


@contextlib.contextmanager
def limited(device: torch.device, limit: int) -> Iterator[None]:
    """Within, taking more bytes than this is an error. A CPU would otherwise kill this process, or another's.

    Counted: on a GPU all that torch's allocator takes, on a CPU (Linux) what the process grows by.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        # Of the current device, which is `device`; it takes none that has no number.
        torch.cuda.set_per_process_memory_fraction(min(limit / total, 1.0))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    before = _taken()
    if before is None:
        yield
        return
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = before + limit
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _taken() -> int | None:
    """Bytes of this process that count against `RLIMIT_DATA`; None where Linux doesn't tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None
