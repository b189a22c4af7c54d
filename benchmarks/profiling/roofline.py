"""The device's measured ceilings, and how close a step comes to each of them."""

from __future__ import annotations

import torch

from benchmarks.profiling.timing import Step, seconds_of
from results.speed import Limits, Resource, Speed

MATRIX = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices: larger ones are not faster."""
COPIED = {"cuda": 2**30, "cpu": 2**27}
"""Bytes that are copied: more than fit into caches."""
LAUNCHES = 500
ROUNDS = 5
"""The fastest round counts."""


def measure_limits(device: torch.device, precision: str) -> Limits:
    """Measures the three ceilings in about a second. `tf32` must be enabled (see `training.device.numerics`).

    For `bf16`, the ceiling of arithmetic is that of float32 if that is faster: a processor without bf16 is slow in it,
    and its libraries use float32 for some operations.
    """
    kinds = [torch.bfloat16, torch.float32] if precision == "bf16" else [torch.float32]
    limits = Limits(
        flops_per_s=max(flops_per_s(device, kind) for kind in kinds),
        bytes_per_s=_bytes_per_s(device),
        launch_s=_launch_s(device),
    )
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return limits


def flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
    side = MATRIX[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    return 2 * side**3 / _fastest(lambda: torch.mm(left, right, out=product), device)


def _bytes_per_s(device: torch.device) -> float:
    source = torch.zeros(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _fastest(lambda: target.copy_(source), device)


def _launch_s(device: torch.device) -> float:
    one = torch.zeros(1, device=device)

    def launch() -> None:
        for _ in range(LAUNCHES):
            one.add_(1)

    return _fastest(launch, device) / LAUNCHES


def _fastest(step: Step, device: torch.device) -> float:
    seconds_of(step, 2, device)
    return min(seconds_of(step, 1, device) for _ in range(ROUNDS))


def highest(one: Limits, other: Limits) -> Limits:
    """The higher value of each ceiling: other work on the machine can only have lowered it."""
    return Limits(
        flops_per_s=max(one.flops_per_s, other.flops_per_s),
        bytes_per_s=max(one.bytes_per_s, other.bytes_per_s),
        launch_s=min(one.launch_s, other.launch_s),
    )


def shares(speed: Speed, limits: Limits) -> dict[Resource, float]:
    """The time that a step would take at each ceiling alone, as a share of its real time; the largest one limits it.

    Resources that were not counted are left out. The share of memory can exceed 1: reads from caches count too.
    """
    images = speed.batch_size
    needed: dict[Resource, float] = {}
    if speed.flops is not None:
        needed["arithmetic"] = speed.flops * images / limits.flops_per_s
    if speed.bytes is not None:
        needed["memory"] = speed.bytes * images / limits.bytes_per_s
    if speed.issue_ms is not None:
        needed["launches"] = speed.issue_ms / 1000
    elif speed.launches is not None:
        needed["launches"] = speed.launches * limits.launch_s
    return {resource: seconds * speed.images_per_s / images for resource, seconds in needed.items()}
