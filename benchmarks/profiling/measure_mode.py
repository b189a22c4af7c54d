"""Measures one mode: each function returns a few fields of `Speed`."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import Environment
from benchmarks.hardware import GpuSensors, state
from benchmarks.profiling import breakdown, memory
from benchmarks.profiling.counting import Counts, count
from benchmarks.profiling.device_work import device_work, read_trace
from benchmarks.profiling.input_pipeline import InputPipeline
from benchmarks.profiling.memory import Peak
from benchmarks.profiling.operations import STEPS, costliest, profiled, write_trace
from benchmarks.profiling.profiled_method import ProfiledMethod
from benchmarks.profiling.timing import Blocks, block_rates, issue_seconds, latencies, percentile, waited
from benchmarks.training.compiling.compile import not_compiled
from benchmarks.training.device import ran_out_of_memory
from results.record import Record
from results.settings import ProfileRun
from results.speed import Mode, Speed

P99_REPEATS = 100
"""With fewer repeats, the 99th percentile is hardly more than the slowest."""
WORK_SECONDS = 0.3
"""Duration of the steps during which a GPU's sensors are read."""
INPUT = "input"
"""Row of the breakdown: loading and augmenting a batch, where that does not overlap with the step."""

Fields = dict[str, Any]
"""Some of the fields of a `Speed`."""


@dataclass(frozen=True)
class ProfileContext:
    """What a measurement needs, and the record that receives its results."""

    run: ProfileRun
    record: Record
    environment: Environment
    folder: Path
    sensors: GpuSensors
    peak: Peak

    @property
    def device(self) -> torch.device:
        """The device that is measured."""
        return torch.device(self.run.device)

    def missing(self, mode: Mode, field: str, reason: str) -> None:
        """Records why a value is missing."""
        self.record.missing[f"speed.{mode}.{field}"] = reason


def measure_mode(context: ProfileContext, mode: Mode) -> Speed:
    """Builds the method anew and measures it. Raises the device's error if memory is too small."""
    run = context.run
    profiled = ProfiledMethod(run)
    step = profiled.step(mode)
    counts = _count(context, profiled, step, mode)  # before compilation; also warms up
    _describe(context.record, profiled, counts, mode)
    found = _compile(context, profiled, step, mode) if run.compile else {}
    context.peak.reset()
    blocks = block_rates(step, run.batch_size, context.device, context.sensors)
    found |= _rates(context, blocks, mode) | {"peak_memory": context.peak.bytes, "peak_reserved": context.peak.reserved}
    context.record.state[mode] = _state_at_work(context, step, blocks)
    found |= _counted(context, counts, mode)
    if context.device.type == "cuda":
        found["issue_ms"] = 1000 * issue_seconds(step, context.device)
    found |= _memory(profiled, mode)
    if mode == "inference":
        found |= _latency(context, profiled)
    if run.input is not None:
        found |= _if_it_fits(context, mode, "end_to_end_images_per_s", lambda: _with_input(context, profiled, mode))
    found |= _if_it_fits(context, mode, "breakdown", lambda: _breakdown(context, profiled, step, mode))
    found |= _if_it_fits(context, mode, "operations", lambda: _profiler(context, step, blocks, mode))
    if "breakdown" in found and "input_images_per_s" in found:
        found["breakdown"][INPUT] = 1000 * run.batch_size / found["input_images_per_s"]
    return Speed(batch_size=run.batch_size, **found)


def _count(context: ProfileContext, profiled: ProfiledMethod, step: Callable[[], None], mode: Mode) -> Counts | None:
    """Counts the second step: in the first, the optimiser creates its state."""
    try:
        step()
        return count(profiled.method, step)
    except Exception as error:
        if not (context.run.compile and ran_out_of_memory(error)):
            raise
    context.missing(mode, "flops", "counted in uncompiled code, which needs more memory than it does compiled")
    return None


def _if_it_fits(context: ProfileContext, mode: Mode, field: str, measure: Callable[[], Fields]) -> Fields:
    """Runs a measurement that needs more memory than the step; if there is too little, the other results remain."""
    try:
        return measure()
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    context.missing(mode, field, "the step fits into memory, but not with what this measurement needs besides")
    return {}


def _state_at_work(context: ProfileContext, step: Callable[[], None], blocks: Blocks) -> Fields:
    """The device's state while steps are in its queue: an idle GPU shows no throttling, and soon lowers its clocks."""
    for _ in range(max(1, round(WORK_SECONDS * blocks.median / context.run.batch_size))):
        step()
    found = state(context.device, context.sensors)
    if context.device.type == "cuda":
        torch.cuda.synchronize(context.device)
    return found


def _describe(record: Record, profiled: ProfiledMethod, counts: Counts | None, mode: Mode) -> None:
    record.model |= {
        "parameters": sum(parameter.numel() for parameter in profiled.method.parameters()),
        "views": profiled.method.views,
        "input": profiled.run.image_size,
    }
    if mode == "inference" and counts is not None:
        record.model["flops"] = round(counts.flops / profiled.run.batch_size)


def _compile(context: ProfileContext, profiled: ProfiledMethod, step: Callable[[], None], mode: Mode) -> Fields:
    """Compiles for the shapes of the batch and of a single image; the measured seconds are those of the batch."""
    # With caches, the second measurement would measure the disk.
    torch._inductor.config.force_disable_caches = True
    profiled.compile()
    warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")  # it is intended
    with profiled.learning(), context.peak.without():
        first = [waited(step, context.device) for _ in range(profiled.rounds)]
        if mode == "inference":
            for _ in range(profiled.rounds):
                profiled.infer(profiled.images[:1])
    if not profiled.is_compiled(mode):
        context.missing(mode, "compile_s", f"{context.run.method} {not_compiled(profiled.method)}: it was not compiled")
        return {}
    return {"compile_s": max(sum(first) - len(first) * waited(step, context.device), 0.0)}


def _rates(context: ProfileContext, blocks: Blocks, mode: Mode) -> Fields:
    if blocks.joules_per_image is None and context.sensors.reason and context.device.type == "cuda":
        context.missing(mode, "joules_per_image", context.sensors.reason)
    return {
        "images_per_s": blocks.median,
        "images_per_s_p10": blocks.percentile(10),
        "images_per_s_p90": blocks.percentile(90),
        "blocks": len(blocks.rates),
        "steady": blocks.steady,
        "joules_per_image": blocks.joules_per_image,
    }


def _counted(context: ProfileContext, counts: Counts | None, mode: Mode) -> Fields:
    batch = context.run.batch_size
    if counts is None:
        return {}
    found: Fields = {"passes": counts.backbone_images / batch, "flops": counts.flops / batch}
    if context.run.compile:
        context.missing(mode, "bytes", "counted operation by operation, and compiled code joins operations")
        return found
    return found | {"bytes": counts.bytes / batch, "launches": counts.launches}


def _memory(profiled: ProfiledMethod, mode: Mode) -> Fields:
    if mode == "inference":
        return {"memory": {"weights": memory.weights(profiled.method)}}
    steps = partial(profiled.training_steps, profiled.images, profiled.labels)
    return {"memory": memory.by_phase(profiled.method, profiled.optimizer, steps)}


def _latency(context: ProfileContext, profiled: ProfiledMethod) -> Fields:
    """Of a single image, from call to result."""
    one = profiled.images[:1].contiguous(memory_format=torch.channels_last)
    milliseconds = [1000 * seconds for seconds in latencies(lambda: profiled.infer(one), context.device)]
    found = {"latency_ms": percentile(milliseconds, 50), "latency_ms_p95": percentile(milliseconds, 95)}
    if len(milliseconds) < P99_REPEATS:
        context.missing("inference", "latency_ms_p99", f"{len(milliseconds)} repeats are too few for a 99th percentile")
        return found
    return found | {"latency_ms_p99": percentile(milliseconds, 99)}


def _with_input(context: ProfileContext, profiled: ProfiledMethod, mode: Mode) -> Fields:
    """Rates of the input pipeline alone, and of input and compute together."""
    run, settings = context.run, context.run.input
    assert settings is not None
    dataset = context.environment.open(settings.dataset, settings.dataset_options)
    sampling = profiled.method.sampling
    pipeline = InputPipeline(dataset, settings, run.image_size, run.batch_size, sampling, context.device, run.compile)
    profiled.enter(mode)
    with closing(pipeline.batches(mode)) as batches:
        alone = block_rates(lambda: next(batches), run.batch_size, context.device)

        def end_to_end() -> None:
            images, labels = next(batches)
            profiled.train(images, labels) if mode == "train" else profiled.infer(images)

        together = block_rates(end_to_end, run.batch_size, context.device)
    return {"input_images_per_s": alone.median, "end_to_end_images_per_s": together.median}


def _breakdown(context: ProfileContext, profiled: ProfiledMethod, step: Callable[[], None], mode: Mode) -> Fields:
    """The time of each part of a step, if the Run asks for it."""
    if "breakdown" not in context.run.extras:
        return {}
    if context.run.compile:
        context.missing(mode, "breakdown", "compiled code has no border between the parts; measure without --compile")
        return {}
    profiled.enter(mode)
    if mode == "train":
        return {"breakdown": breakdown.of_training(profiled.method, profiled.optimizer, step, context.device)}
    return {"breakdown": breakdown.of_inference(profiled.method, step, context.device)}


def _profiler(context: ProfileContext, step: Callable[[], None], blocks: Blocks, mode: Mode) -> Fields:
    """What the profiler sees: a GPU's own work, and operations and a trace if the Run asks for them."""
    on_gpu, kept = context.device.type == "cuda", "trace" in context.run.extras
    detailed = kept or "operations" in context.run.extras
    if not on_gpu and not detailed:
        return {}
    profiler = profiled(step, context.device)
    found: Fields = {"operations": costliest(profiler, context.device)} if detailed else {}
    with tempfile.TemporaryDirectory() as scratch:
        trace = (context.folder if kept else Path(scratch)) / f"trace-{mode}.json.gz"
        if on_gpu or kept:
            write_trace(profiler, trace)
        if on_gpu:
            work = device_work(read_trace(trace))
            busy = work.busy_s * blocks.median / (STEPS * context.run.batch_size)
            found |= {"kernels": work.kernels / STEPS, "busy_share": min(busy, 1.0)}
    if kept:
        context.record.notes.append(f"{trace.name} is a trace of {mode} steps, for ui.perfetto.dev")
    return found
