"""Everything that is measured of one mode: each function answers for a few fields of `Speed`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.plan import Place
from benchmarks.profiling import breakdown, memory
from benchmarks.profiling.cell import Cell
from benchmarks.profiling.counting import Counts, count
from benchmarks.profiling.gpu import EnergyMeter
from benchmarks.profiling.memory import Peak
from benchmarks.profiling.operations import costliest
from benchmarks.profiling.roofline import shares
from benchmarks.profiling.supply import Supply
from benchmarks.profiling.timing import Blocks, block_rates, latencies, percentile, waited
from benchmarks.settings import ProfileRun
from results.record import Record
from results.speed import Mode, Speed

P99_REPEATS = 100
"""Of fewer, the 99th percentile is hardly more than the slowest."""
INPUT = "input"
"""Its row in the breakdown: bringing and augmenting a batch, where that does not overlap with the step."""

Fields = dict[str, Any]
"""Some of the fields of a `Speed`."""


@dataclass(frozen=True)
class Bench:
    """What a cell is measured with, and the record that its measurement goes into."""

    run: ProfileRun
    record: Record
    place: Place
    folder: Path
    meter: EnergyMeter
    peak: Peak

    @property
    def device(self) -> torch.device:
        """What it runs on."""
        return torch.device(self.run.device)

    def lacks(self, mode: Mode, field: str, reason: str) -> None:
        """Says why a value is not there."""
        self.record.missing[f"speed.{mode}.{field}"] = reason


def measure_mode(bench: Bench, mode: Mode) -> Speed:
    """Builds the method anew and measures it. Raises the device's error where memory is too small."""
    run = bench.run
    cell = Cell(run)
    step = cell.step(mode)
    counts = count(cell.method, step)  # before anything is compiled, and it warms up
    _describe(bench.record, cell, counts, mode)
    found = _compile(bench, cell, step, mode) if run.compile else {}
    bench.peak.reset()
    blocks = block_rates(step, run.batch_size, bench.device, bench.meter)
    found |= _rates(bench, blocks, mode) | {"peak_memory": bench.peak.bytes, "peak_reserved": bench.peak.reserved}
    found |= _counted(bench, counts, blocks, mode)
    found |= _memory(cell, mode)
    if mode == "inference":
        found |= _latency(bench, cell)
    if run.input is not None:
        found |= _with_input(bench, cell, mode)
    found |= _looked_into(bench, cell, step, mode)
    if "breakdown" in found and "input_images_per_s" in found:
        found["breakdown"][INPUT] = 1000 * run.batch_size / found["input_images_per_s"]
    return Speed(batch_size=run.batch_size, **found)


def _describe(record: Record, cell: Cell, counts: Counts, mode: Mode) -> None:
    record.model |= {
        "parameters": sum(parameter.numel() for parameter in cell.method.parameters()),
        "views": cell.method.views,
        "input": cell.run.image_size,
    }
    if mode == "inference":
        record.model["flops"] = round(counts.flops / cell.run.batch_size)


def _compile(bench: Bench, cell: Cell, step: Callable[[], None], mode: Mode) -> Fields:
    """Compiles for the shape of the batch, and for that of one image; the seconds are those of the batch."""
    # Or the second measurement would tell how fast the disk is.
    torch._inductor.config.force_disable_caches = True
    cell.compile()
    with cell.learning():
        first = waited(step, bench.device)
        if mode == "inference":
            cell.infer(cell.images[:1])
    if not cell.is_compiled(mode):
        bench.lacks(mode, "compile_s", f"{bench.run.method} does not step through `losses`: it was not compiled")
        return {}
    return {"compile_s": max(first - waited(step, bench.device), 0.0)}


def _rates(bench: Bench, blocks: Blocks, mode: Mode) -> Fields:
    if blocks.joules_per_image is None and bench.meter.reason and bench.device.type == "cuda":
        bench.lacks(mode, "joules_per_image", bench.meter.reason)
    return {
        "images_per_s": blocks.median,
        "images_per_s_p10": blocks.percentile(10),
        "images_per_s_p90": blocks.percentile(90),
        "blocks": len(blocks.rates),
        "steady": blocks.steady,
        "joules_per_image": blocks.joules_per_image,
    }


def _counted(bench: Bench, counts: Counts, blocks: Blocks, mode: Mode) -> Fields:
    batch, limits = bench.run.batch_size, bench.record.limits
    assert limits is not None
    found: Fields = {"passes": counts.backbone_images / batch, "flops": counts.flops / batch}
    near = shares(counts, batch / blocks.median, limits)
    if bench.run.compile:
        bench.lacks(mode, "bytes", "counted operation by operation, and compiled code joins operations")
        return found | {"shares": {"arithmetic": near["arithmetic"]}}
    return found | {"bytes": counts.bytes / batch, "launches": counts.launches, "shares": near}


def _memory(cell: Cell, mode: Mode) -> Fields:
    if mode == "inference":
        return {"memory": {"weights": memory.weights(cell.method)}}
    steps = partial(cell.training_steps, cell.images, cell.labels)
    return {"memory": memory.by_phase(cell.method, cell.optimizer, steps)}


def _latency(bench: Bench, cell: Cell) -> Fields:
    """Of one image alone, from call to result."""
    one = cell.images[:1].contiguous(memory_format=torch.channels_last)
    milliseconds = [1000 * seconds for seconds in latencies(lambda: cell.infer(one), bench.device)]
    found = {"latency_ms": percentile(milliseconds, 50), "latency_ms_p95": percentile(milliseconds, 95)}
    if len(milliseconds) < P99_REPEATS:
        bench.lacks("inference", "latency_ms_p99", f"{len(milliseconds)} repeats are too few for a 99th percentile")
        return found
    return found | {"latency_ms_p99": percentile(milliseconds, 99)}


def _with_input(bench: Bench, cell: Cell, mode: Mode) -> Fields:
    """Input alone, and input with compute."""
    run, asked = bench.run, bench.run.input
    assert asked is not None
    dataset = bench.place.open(asked.dataset, asked.dataset_options)
    supply = Supply(dataset, asked, run.image_size, run.batch_size, cell.method.sampling, bench.device)
    cell.enter(mode)
    with closing(supply.batches(mode)) as batches:
        alone = block_rates(lambda: next(batches), run.batch_size, bench.device)

        def whole() -> None:
            images, labels = next(batches)
            cell.train(images, labels) if mode == "train" else cell.infer(images)

        together = block_rates(whole, run.batch_size, bench.device)
    return {"input_images_per_s": alone.median, "end_to_end_images_per_s": together.median}


def _looked_into(bench: Bench, cell: Cell, step: Callable[[], None], mode: Mode) -> Fields:
    """What the Run asks for besides."""
    extras, found = bench.run.extras, Fields()
    if "breakdown" in extras and bench.run.compile:
        bench.lacks(mode, "breakdown", "compiled code has no border between the parts; measure without --compile")
    elif "breakdown" in extras:
        cell.enter(mode)
        found["breakdown"] = (
            breakdown.of_training(cell.method, cell.optimizer, step, bench.device)
            if mode == "train"
            else breakdown.of_inference(cell.method, step, bench.device)
        )
    if "operations" in extras or "trace" in extras:
        trace = bench.folder / f"trace-{mode}.json.gz" if "trace" in extras else None
        found["operations"] = costliest(step, bench.device, trace)
    return found
