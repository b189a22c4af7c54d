"""Measures speed and memory of one method on one backbone, in a process of its own (`worker.py`).

Rates are source images per second, however many passes the method makes over each. The record's `missing` gives the
reason for each value that could not be measured; a lack of memory is a result.
"""

from __future__ import annotations

import gc
from functools import reduce
from pathlib import Path

import torch

from benchmarks.environment import Environment
from benchmarks.hardware import GpuSensors, state
from benchmarks.planning import batch_sweep
from benchmarks.profiling import max_batch, memory
from benchmarks.profiling.measure_mode import ProfileContext, measure_mode
from benchmarks.profiling.profiled_method import NoStepError
from benchmarks.profiling.roofline import highest, measure_limits, shares
from benchmarks.training.device import numerics, ran_out_of_memory
from results.record import Record
from results.settings import ProfileRun
from results.speed import Limits, Mode

MODES: tuple[Mode, ...] = ("inference", "train")
"""Inference first: memory that training allocated may stay with the process and would count against inference."""
GIB = 2.0**30
ONE_VALUE = "Expected more than 1 value per channel"
"""From the error of torch's batch norm if there is only one value to normalise, as at the start of a sweep from 1."""


def measure(run: ProfileRun, record: Record, environment: Environment, folder: Path) -> None:
    """Measures both modes and adds the results to the record; a requested trace is written into `folder`.

    Raises what building the method raises, `UserError` if there is no compiler for `run.compile`, and `ResultsError`
    if a trace can't be written.
    """
    device = torch.device(run.device)
    sensors = GpuSensors(device)
    free = memory.available(device, run.memory_limit)
    with numerics(run.precision):
        limits = _limits(device, run.precision)
        record.state["before"] = state(device, sensors)
        context = ProfileContext(run, record, environment, folder, sensors, memory.Peak(device))
        for mode in MODES:
            _measure_within(free, context, mode)
        record.state["after"] = state(device, sensors)
        limits += _limits(device, run.precision)
    if limits:
        record.limits = reduce(highest, limits)
        for speed in record.speed.values():
            speed.shares = shares(speed, record.limits)
    else:
        record.missing["limits"] = "out of memory: none was left for the matrices and copies that show them"
    if "largest_batch" in run.extras:
        _find_largest_batches(run, record, free)


def record_out_of_memory(run: ProfileRun, record: Record) -> None:
    """Records that the measuring process died for lack of memory. The mode is unknown and no measurement is left, so
    both modes count as too large."""
    free = memory.available(torch.device("cpu"), run.memory_limit if run.device == "cpu" else None)
    for mode in MODES:
        record.exceeded[mode] = free
        record.missing[f"speed.{mode}"] = "out of memory: the process died of it, in this mode or the other"


def _limits(device: torch.device, precision: str) -> list[Limits]:
    """The device's ceilings; none if its memory is too full to measure them, maybe with other processes' data."""
    try:
        return [measure_limits(device, precision)]
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        return []


def _find_largest_batches(run: ProfileRun, record: Record, free: int) -> None:
    if run.in_sweep and run.batch_size != batch_sweep.SEARCHED_AT:  # the answer is the same at every size
        for mode in MODES:
            record.missing.setdefault(
                f"speed.{mode}.largest_batch", f"searched once in a sweep, at batch {batch_sweep.SEARCHED_AT}"
            )
        return
    for mode, speed in record.speed.items():
        if run.device == "cpu" and run.memory_limit is None:
            reason = "a CPU's memory is shared with everything else; say how much may be taken, with --memory-limit"
            record.missing[f"speed.{mode}.largest_batch"] = reason
        else:
            speed.largest_batch = _largest_batch(run, record, mode, free)
    for mode in record.exceeded:  # there is no `Speed` for the answer, which is most useful here
        fitting = _largest_batch(run, record, mode, free)
        if fitting is not None:
            record.missing[f"speed.{mode}"] += f"; the largest batch that fits is {fitting}"


def _largest_batch(run: ProfileRun, record: Record, mode: Mode, free: int) -> int | None:
    """The largest batch; None, with the reason recorded, if a try fails: what has been measured must not be lost."""
    try:
        return max_batch.largest_batch(run, mode, free)
    except Exception as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        record.missing[f"speed.{mode}.largest_batch"] = f"the search failed at a size for another reason: {message}"
        return None


def _measure_within(free: int, context: ProfileContext, mode: Mode) -> None:
    device, record = context.device, context.record
    try:
        with memory.limited(device, free):
            record.speed[mode] = measure_mode(context, mode)
    except NoStepError:
        record.missing[f"speed.{mode}"] = "nothing is learnt by gradients: there is no training step"
    except Exception as error:
        if ran_out_of_memory(error):
            record.exceeded[mode] = free
            record.missing[f"speed.{mode}"] = f"out of memory: needs more than {free / GIB:.2f} GiB"
        elif ONE_VALUE in str(error):
            record.missing[f"speed.{mode}"] = "batch norm can't learn from one image of one position; raise batch_size"
        else:
            raise
    gc.collect()  # hooks and closures refer to each other
    if device.type == "cuda":
        torch.cuda.empty_cache()
