"""What the speed benchmarks share: times taken in turns, bytes of memory, and one way of comparing several ways.

Everything runs on the GPU if there is one, else on the CPU. pytest-benchmark times one function after the other, so a
busy machine would slow down only one of them; ratios are therefore measured in turns here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.profiling.memory import saved_for_backward
from benchmarks.profiling.timing import waited

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
OURS = "ours"

Work = Callable[[], object]


def finish() -> None:
    """Waits until the GPU has finished all submitted work."""
    if CUDA:
        torch.cuda.synchronize()


def seconds(works: Mapping[str, Work], rounds: int = 5) -> dict[str, float]:
    """Median seconds of each work, GPU time included. They run in turns, after one round of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            finish()
            elapsed = waited(work, DEVICE)
            if turn:
                times[name].append(elapsed)
    return {name: median(values) for name, values in times.items()}


def kept(forward: Work, given: Iterable[Tensor] = ()) -> int:
    """Bytes that `forward` keeps for its backward pass, each storage once, without those of `given`.

    `forward` must return the tensor that the backward pass starts from: it keeps the others alive while they are
    counted, so that no address is used twice.
    """
    with saved_for_backward(given) as saved:
        held = forward()
    del held
    return sum(saved.values())


def peak(work: Work) -> int:
    """Most bytes on the GPU during `work`, beyond what is allocated before it. CUDA only."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def compare(
    benchmark: Any,
    ways: Mapping[str, Work],
    forward: Mapping[str, Work] | None = None,
    given: Iterable[Tensor] = (),
    rounds: int = 5,
) -> None:
    """Benchmarks `ways["ours"]` and notes what each other way takes for one second of ours.

    `forward` gives the forward pass of each way; then also what it keeps for one byte of ours, without `given`.
    """
    benchmark.pedantic(lambda: (ways[OURS](), finish()), rounds=3, warmup_rounds=1)
    if not benchmark.enabled:
        return
    times = seconds(ways, rounds)
    held = {name: kept(way, given) for name, way in (forward or {}).items()}
    for name in times:
        if name != OURS:
            benchmark.extra_info[f"time of {name} / ours"] = round(times[name] / times[OURS], 2)
            if name in held:
                benchmark.extra_info[f"kept by {name} / ours"] = round(held[name] / held[OURS], 2)


def random_batch(size: int, pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Noise `(size, 3, pixels, pixels)` and int64 labels `(size,)` that cycle through the classes."""
    return torch.randn(size, 3, pixels, pixels), torch.arange(size) % classes
