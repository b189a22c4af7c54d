"""Speed and memory of one method on one backbone, measured in a process of its own (see `execute.py`).

Inputs are random tensors: a profile Run is compute alone. Rates are source images per second, whatever number of
passes the method makes of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.build import autocast, build_method
from benchmarks.machine import peak_resident_bytes, reset_peak_resident
from benchmarks.optimise import take_steps
from benchmarks.settings import ProfileRun
from methods.interface import Method
from results.record import Speed

BLOCK_SECONDS = 0.25
"""Least length of a block; shorter ones measure the clock."""
BLOCKS = 9
"""Blocks that are kept."""
WARMUP_BLOCKS = 6
"""At the most, until two in a row agree."""
STEADY = 0.05
"""Relative difference of two blocks that counts as agreement."""
MODE_SECONDS = 60.0
"""A mode that takes longer than this is cut short, with three blocks at the least."""
LATENCY_REPEATS = 15


def measure(run: ProfileRun) -> dict[str, Any]:
    """Measures inference and training: `{"speed": {mode: Speed}, "model": {…}}`."""
    device = torch.device(run.device)
    torch.manual_seed(0)
    empty = reset_peak_resident()
    method, _ = build_method(run, run.classes, None, device)
    images = torch.randn(run.batch_size, 3, run.image_size, run.image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    model = {
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "flops": flops(method, images[:1]),
        "views": method.views,
        "input": run.image_size,
    }
    # Inference first: what training allocates may stay with the process and would count against inference.
    speed = {
        "inference": _measure_inference(method, images, run, empty),
        "train": _measure_training(method, images, run, empty),
    }
    return {"speed": speed, "model": model}


def flops(method: Method, image: Tensor) -> int:
    """Floating-point operations of one image `(1, 3, H, W)`, forward, as torch counts them: 2 per multiply-add."""
    method.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method(image)
    return int(counter.get_total_flops())


def _measure_inference(method: Method, images: Tensor, run: ProfileRun, empty: int) -> Speed:
    method.eval()

    def forward(batch: Tensor) -> None:
        with torch.inference_mode(), autocast(batch.device, run.precision):
            method(batch)

    _reset_peak(images.device)
    rates = block_rates(lambda: forward(images), len(images), images.device)
    peak = _peak(images.device, empty)
    forward(images[:1])
    latencies = [1000 * seconds_of(lambda: forward(images[:1]), 1, images.device) for _ in range(LATENCY_REPEATS)]
    return _speed(run, rates, peak, statistics.median(latencies))


def _measure_training(method: Method, images: Tensor, run: ProfileRun, empty: int) -> Speed:
    method.train()
    labels = _labels(method, run).to(images.device)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-4, momentum=0.9, fused=images.is_cuda)

    def step() -> None:
        for _ in take_steps(method, images, labels, optimizer, run.precision):
            pass

    _reset_peak(images.device)
    rates = block_rates(step, len(images), images.device)
    return _speed(run, rates, _peak(images.device, empty), None)


def _labels(method: Method, run: ProfileRun) -> Tensor:
    """Labels as the method's sampling would draw them: in runs of equal ones where it wants pairs."""
    repeat = method.sampling.images_per_class or 1
    return torch.arange(run.batch_size) // repeat % run.classes


def block_rates(step: Callable[[], None], images: int, device: torch.device) -> list[float]:
    """Images per second of each kept block of equally many steps, after a warm-up until two blocks agree."""
    seconds_of(step, 1, device)
    steps = max(1, round(BLOCK_SECONDS / seconds_of(step, 1, device)))
    last = seconds_of(step, steps, device)
    for _ in range(WARMUP_BLOCKS):
        now = seconds_of(step, steps, device)
        if abs(now - last) <= STEADY * last:
            break
        last = now
    began = time.monotonic()
    rates: list[float] = []
    while len(rates) < BLOCKS and (len(rates) < 3 or time.monotonic() - began < MODE_SECONDS):
        rates.append(steps * images / seconds_of(step, steps, device))
    return rates


def seconds_of(step: Callable[[], None], repeats: int, device: torch.device) -> float:
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


def _speed(run: ProfileRun, rates: list[float], peak: int, latency_ms: float | None) -> Speed:
    p10, _, _, _, _, _, _, _, p90 = statistics.quantiles(rates, n=10, method="inclusive")
    return Speed(
        batch_size=run.batch_size,
        images_per_s=statistics.median(rates),
        images_per_s_p10=p10,
        images_per_s_p90=p90,
        latency_ms=latency_ms,
        peak_memory=peak,
    )


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        reset_peak_resident()


def _peak(device: torch.device, empty: int) -> int:
    """Bytes. CUDA: most memory tensors took since the reset. CPU: what the process grew by, from before the model."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return max(peak_resident_bytes() - empty, 0)
