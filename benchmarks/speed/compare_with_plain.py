"""What the speed benchmarks of the methods note beside their own time: what other ways cost, and the plain backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.stopwatch import CUDA, Training, kept, seconds
from methods.interface import Method

OURS = "ours"


def note_others(benchmark: Any, times: Mapping[str, float], held: Mapping[str, float] | None = None) -> None:
    """Notes by name what each other way takes for one second of ours, and keeps for one byte of ours."""
    for name in times:
        if name == OURS:
            continue
        benchmark.extra_info[f"time of {name} / ours"] = round(times[name] / times[OURS], 2)
        if held is not None:
            benchmark.extra_info[f"kept by {name} / ours"] = round(held[name] / held[OURS], 2)


def step_against_plain(
    benchmark: Any, ours: Method, plain: Method, batch: tuple[Tensor, Tensor], compiled: bool = False
) -> None:
    """Benchmarks a training step of `ours` on the batch, and notes what it costs over one of `plain`, in turns.

    What is kept for the backward pass is without weights; of compiled code it is not known.
    """
    ways = {OURS: Training(ours, *batch)}
    if benchmark.enabled:
        ways["plain"] = Training(plain, *batch)
    if compiled:
        for way in ways.values():
            way.method.losses = torch.compile(way.method.losses, fullgraph=True)  # type: ignore[method-assign]
    benchmark.pedantic(ways[OURS].step, rounds=3, warmup_rounds=1)
    if not benchmark.enabled:
        return
    times = seconds({name: way.step for name, way in ways.items()}, rounds=20 if CUDA else 5)
    benchmark.extra_info["step / plain's step"] = round(times[OURS] / times["plain"], 3)
    benchmark.extra_info["images/s"] = round(len(batch[0]) / times[OURS], 1)
    if not compiled:
        held = {name: kept(way.loss, way.method.parameters()) for name, way in ways.items()}
        benchmark.extra_info["kept / plain's"] = round(held[OURS] / held["plain"], 3)
    if CUDA:
        benchmark.extra_info["peak memory / plain's"] = round(ways[OURS].peak() / ways["plain"].peak(), 3)
