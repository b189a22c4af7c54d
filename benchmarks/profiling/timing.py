"""Rates over blocks of steps once they are steady, and the latency of single steps.

`torch.utils.benchmark.Timer` does less: it neither waits for a steady rate, nor limits the total time, nor measures a
GPU's own time and energy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.hardware import GpuSensors

Step = Callable[[], object]

BLOCK_SECONDS = {"cuda": 0.5, "cpu": 0.15}
"""Minimum length of a block: the resolution of clock and energy counter must not matter, and a GPU has to reach the
clocks that its power limit allows in the long run."""
BLOCKS = 9
"""Blocks that are measured."""
WARMUP_BLOCKS = 6
"""Maximum, if no two blocks in a row agree earlier."""
STEADY = 0.05
"""Relative difference of two blocks that counts as agreement."""
MODE_SECONDS = 60.0
"""Measuring ends after this time, but not before three blocks."""
ISSUES = 7
"""Steps whose issue is timed."""
LATENCY_SECONDS = 3.0
LATENCY_REPEATS = (5, 200)
"""Minimum and maximum; in between, as many as `LATENCY_SECONDS` allow."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of the same number of steps."""

    rates: tuple[float, ...]
    """Images per second of each."""
    steady: bool
    """Whether two blocks in a row agreed before the first of these."""
    joules_per_image: float | None

    @property
    def median(self) -> float:
        """Images per second."""
        return statistics.median(self.rates)

    def percentile(self, percent: int) -> float:
        """Images per second, interpolated linearly."""
        return percentile(self.rates, percent)


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of two or more values, interpolated linearly."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def block_rates(step: Step, images: int, device: torch.device, sensors: GpuSensors | None = None) -> Blocks:
    """Times steps of `images` images each, after a warm-up until two blocks agree."""
    seconds_of(step, 1, device)
    steps = max(1, round(BLOCK_SECONDS[device.type] / seconds_of(step, 1, device)))
    last, steady = seconds_of(step, steps, device), False
    for _ in range(WARMUP_BLOCKS):
        now = seconds_of(step, steps, device)
        steady = abs(now - last) <= STEADY * last
        if steady:
            break
        last = now
    began = time.monotonic()
    rates: list[float] = []
    before = sensors.joules() if sensors else None
    while len(rates) < BLOCKS and (len(rates) < 3 or time.monotonic() - began < MODE_SECONDS):
        rates.append(steps * images / seconds_of(step, steps, device))
    after = sensors.joules() if sensors else None
    spent = None if before is None or after is None else (after - before) / (len(rates) * steps * images)
    return Blocks(tuple(rates), steady, spent)


def seconds_of(step: Step, repeats: int, device: torch.device) -> float:
    """Seconds that `repeats` steps take on the device, with one synchronisation at the end."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    return time.perf_counter() - began


def latencies(step: Step, device: torch.device) -> list[float]:
    """Seconds of each of several steps, from the call until the device has the result."""
    minimum, maximum = LATENCY_REPEATS
    waited(step, device)
    repeats = min(max(round(LATENCY_SECONDS / waited(step, device)), minimum), maximum)
    return [waited(step, device) for _ in range(repeats)]


def issue_seconds(step: Step, device: torch.device) -> float:
    """Median seconds that the host takes to start a step on an idle GPU, without waiting for its end."""
    taken = []
    for _ in range(ISSUES):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    torch.cuda.synchronize(device)
    return statistics.median(taken)


def waited(step: Step, device: torch.device) -> float:
    """Seconds from the call until the device is done."""
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
