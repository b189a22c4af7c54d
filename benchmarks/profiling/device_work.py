"""What a GPU itself did in a step: how many kernels it ran, and how long at least one of them was running.

Operations counted on the host (`counting`) know neither how many kernels each one starts nor what compiled code or a
CUDA graph starts. The profiler (CUPTI) sees each kernel on the device, and its trace says which events are kernels.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORK = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
"""Categories of a trace's events that are work of a GPU. Others on its time line repeat spans of the host."""


@dataclass(frozen=True)
class DeviceWork:
    """Work on the device, all steps together."""

    kernels: int
    """Kernels, copies and fills."""
    busy_s: float
    """Seconds in which at least one of them ran."""


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The events of a trace that torch.profiler wrote, compressed if its name ends in `.gz`."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events


def device_work(events: Iterable[Mapping[str, Any]]) -> DeviceWork:
    """The work in the events of a trace; their start `ts` and duration `dur` are microseconds."""
    intervals = [(event["ts"], event["ts"] + event["dur"]) for event in events if event.get("cat") in WORK]
    return DeviceWork(len(intervals), covered(intervals) / 1e6)


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (start, end): where streams overlap, time counts once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total
