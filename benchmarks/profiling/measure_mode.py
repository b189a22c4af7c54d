"""Everything that is measured of one mode: each function answers for a few fields of `Speed`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import Environment
from benchmarks.profiling import breakdown, memory
from benchmarks.profiling.counting import Counts, count
from benchmarks.profiling.gpu import EnergyMeter, state
from benchmarks.profiling.input_pipeline import InputPipeline
from benchmarks.profiling.memory import Peak
from benchmarks.profiling.operations import costliest
from benchmarks.profiling.profiled_method import Cell
from benchmarks.profiling.timing import Blocks, block_rates, latencies, percentile, waited
from benchmarks.training.out_of_memory import ran_out
from results.record import Record
from results.settings import ProfileRun
from results.speed import Mode, Speed

P99_REPEATS = 100
"""Of fewer, the 99th percentile is hardly more than the slowest."""
WORK_SECONDS = 0.3
"""Of steps that a device is given to look at its clocks meanwhile."""
INPUT = "input"
"""Its row in the breakdown: bringing and augmenting a batch, where that does not overlap with the step."""

Fields = dict[str, Any]
"""Some of the fields of a `Speed`."""


@dataclass(frozen=True)
class ProfileContext:
    """What a cell is measured with, and the record that its measurement goes into."""

    run: ProfileRun
    record: Record
    environment: Environment
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


def measure_mode(bench: ProfileContext, mode: Mode) -> Speed:
    """Builds the method anew and measures it. Raises the device's error where memory is too small."""
    run = bench.run
    cell = Cell(run)
    step = cell.step(mode)
    counts = _count(bench, cell, step, mode)  # before anything is compiled, and it warms up
    _describe(bench.record, cell, counts, mode)
    found = _compile(bench, cell, step, mode) if run.compile else {}
    bench.peak.reset()
    blocks = block_rates(step, run.batch_size, bench.device, bench.meter)
    found |= _rates(bench, blocks, mode) | {"peak_memory": bench.peak.bytes, "peak_reserved": bench.peak.reserved}
    bench.record.state[mode] = _state_at_work(bench, step, blocks)
    found |= _counted(bench, counts, mode)
    found |= _memory(cell, mode)
    if mode == "inference":
        found |= _latency(bench, cell)
    if run.input is not None:
        found |= _where_it_fits(bench, mode, "end_to_end_images_per_s", lambda: _with_input(bench, cell, mode))
    found |= _where_it_fits(bench, mode, "breakdown", lambda: _looked_into(bench, cell, step, mode))
    if "breakdown" in found and "input_images_per_s" in found:
        found["breakdown"][INPUT] = 1000 * run.batch_size / found["input_images_per_s"]
    return Speed(batch_size=run.batch_size, **found)


def _count(bench: ProfileContext, cell: Cell, step: Callable[[], None], mode: Mode) -> Counts | None:
    """Of a step after the first, in which the optimiser makes its state: what every further step does."""
    try:
        step()
        return count(cell.method, step)
    except Exception as error:
        if not (bench.run.compile and ran_out(error)):
            raise
    bench.lacks(mode, "flops", "counted in code as it is written, which needs more memory than it does compiled")
    return None


def _where_it_fits(bench: ProfileContext, mode: Mode, field: str, look: Callable[[], Fields]) -> Fields:
    """`look`, which takes memory of its own: where that is too little, what is known of the mode stays."""
    try:
        return look()
    except Exception as error:
        if not ran_out(error):
            raise
    bench.lacks(mode, field, "the step fits into memory, but not with what it takes to look at this")
    return {}


def _state_at_work(bench: ProfileContext, step: Callable[[], None], blocks: Blocks) -> Fields:
    """The device's state with steps in its queue: idle, it tells of no throttling, and soon lowers its clocks."""
    for _ in range(max(1, round(WORK_SECONDS * blocks.median / bench.run.batch_size))):
        step()
    found = state(bench.device, bench.meter)
    if bench.device.type == "cuda":
        torch.cuda.synchronize(bench.device)
    return found


def _describe(record: Record, cell: Cell, counts: Counts | None, mode: Mode) -> None:
    record.model |= {
        "parameters": sum(parameter.numel() for parameter in cell.method.parameters()),
        "views": cell.method.views,
        "input": cell.run.image_size,
    }
    if mode == "inference" and counts is not None:
        record.model["flops"] = round(counts.flops / cell.run.batch_size)


def _compile(bench: ProfileContext, cell: Cell, step: Callable[[], None], mode: Mode) -> Fields:
    """Compiles for the shape of the batch, and for that of one image; the seconds are those of the batch."""
    # Or the second measurement would tell how fast the disk is.
    torch._inductor.config.force_disable_caches = True
    cell.compile()
    warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")  # as it is meant to be
    with cell.learning(), bench.peak.without():
        first = waited(step, bench.device)
        if mode == "inference":
            cell.infer(cell.images[:1])
    if not cell.is_compiled(mode):
        bench.lacks(mode, "compile_s", f"{bench.run.method} does not step through `losses`: it was not compiled")
        return {}
    return {"compile_s": max(first - waited(step, bench.device), 0.0)}


def _rates(bench: ProfileContext, blocks: Blocks, mode: Mode) -> Fields:
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


def _counted(bench: ProfileContext, counts: Counts | None, mode: Mode) -> Fields:
    batch = bench.run.batch_size
    if counts is None:
        return {}
    found: Fields = {"passes": counts.backbone_images / batch, "flops": counts.flops / batch}
    if bench.run.compile:
        bench.lacks(mode, "bytes", "counted operation by operation, and compiled code joins operations")
        return found
    return found | {"bytes": counts.bytes / batch, "launches": counts.launches}


def _memory(cell: Cell, mode: Mode) -> Fields:
    if mode == "inference":
        return {"memory": {"weights": memory.weights(cell.method)}}
    steps = partial(cell.training_steps, cell.images, cell.labels)
    return {"memory": memory.by_phase(cell.method, cell.optimizer, steps)}


def _latency(bench: ProfileContext, cell: Cell) -> Fields:
    """Of one image alone, from call to result."""
    one = cell.images[:1].contiguous(memory_format=torch.channels_last)
    milliseconds = [1000 * seconds for seconds in latencies(lambda: cell.infer(one), bench.device)]
    found = {"latency_ms": percentile(milliseconds, 50), "latency_ms_p95": percentile(milliseconds, 95)}
    if len(milliseconds) < P99_REPEATS:
        bench.lacks("inference", "latency_ms_p99", f"{len(milliseconds)} repeats are too few for a 99th percentile")
        return found
    return found | {"latency_ms_p99": percentile(milliseconds, 99)}


def _with_input(bench: ProfileContext, cell: Cell, mode: Mode) -> Fields:
    """Input alone, and input with compute."""
    run, asked = bench.run, bench.run.input
    assert asked is not None
    dataset = bench.environment.open(asked.dataset, asked.dataset_options)
    supply = InputPipeline(dataset, asked, run.image_size, run.batch_size, cell.method.sampling, bench.device)
    cell.enter(mode)
    with closing(supply.batches(mode)) as batches:
        alone = block_rates(lambda: next(batches), run.batch_size, bench.device)

        def whole() -> None:
            images, labels = next(batches)
            cell.train(images, labels) if mode == "train" else cell.infer(images)

        together = block_rates(whole, run.batch_size, bench.device)
    return {"input_images_per_s": alone.median, "end_to_end_images_per_s": together.median}


def _looked_into(bench: ProfileContext, cell: Cell, step: Callable[[], None], mode: Mode) -> Fields:
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
        if trace:
            bench.record.notes.append(f"{trace.name} is a trace of {mode} steps, for ui.perfetto.dev")
    return found
