"""The device's ceilings, measured, and how near a step comes to each: what it is bound by."""

from __future__ import annotations

import torch

from benchmarks.profiling.timing import Step, seconds_of
from results.speed import Limits, Resource, Speed

MATRIX = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices: large enough that more is not faster."""
COPIED = {"cuda": 2**30, "cpu": 2**27}
"""Bytes that are copied: more than caches hold."""
LAUNCHES = 500
ROUNDS = 5
"""The fastest counts: a ceiling is what the device can do."""


def measure_limits(device: torch.device, precision: str) -> Limits:
    """Measures the three ceilings in about a second. For `tf32` it must be on (see `benchmarks.training.numerics`).

    That of arithmetic in `bf16` is float32's where that is faster: a processor that has no bf16 computes in it slowly,
    and its libraries turn to float32 in some operations and not in others.
    """
    kinds = [torch.bfloat16, torch.float32] if precision == "bf16" else [torch.float32]
    limits = Limits(
        flops_per_s=max(_flops_per_s(device, kind) for kind in kinds),
        bytes_per_s=_bytes_per_s(device),
        launch_s=_launch_s(device),
    )
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return limits


def _flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
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
    """Each ceiling where it was found higher: what else the machine had to do can only have lowered it."""
    return Limits(
        flops_per_s=max(one.flops_per_s, other.flops_per_s),
        bytes_per_s=max(one.bytes_per_s, other.bytes_per_s),
        launch_s=min(one.launch_s, other.launch_s),
    )


def shares(speed: Speed, limits: Limits) -> dict[Resource, float]:
    """Of a step's time, what it would take at each ceiling alone, as far as its work was counted. The largest tells
    what binds it.

    Of memory it can be more than 1: what comes from a cache was counted, but did not come from memory.
    """
    images = speed.batch_size
    needed: dict[Resource, float] = {}
    if speed.flops is not None:
        needed["arithmetic"] = speed.flops * images / limits.flops_per_s
    if speed.bytes is not None:
        needed["memory"] = speed.bytes * images / limits.bytes_per_s
    if speed.launches is not None:
        needed["launches"] = speed.launches * limits.launch_s
    return {resource: seconds * speed.images_per_s / images for resource, seconds in needed.items()}
