"""One cell of a profile: speed and memory of a method on a backbone, measured in a process of its own (`worker.py`).

Rates are source images per second, whatever number of passes the method makes of them. What can't be measured here is
told with its reason in the record's `missing`; memory that does not suffice is a result.
"""

from __future__ import annotations

import gc
from functools import reduce
from pathlib import Path

import torch

from benchmarks.environment import Environment
from benchmarks.planning import batch_sweep
from benchmarks.profiling import max_batch, memory
from benchmarks.profiling.gpu import EnergyMeter, state
from benchmarks.profiling.measure_mode import ProfileContext, measure_mode
from benchmarks.profiling.roofline import highest, measure_limits, shares
from benchmarks.training.numerics import numerics
from benchmarks.training.out_of_memory import ran_out
from results.record import Record
from results.settings import ProfileRun
from results.speed import Limits, Mode

MODES: tuple[Mode, ...] = ("inference", "train")
"""Inference first: what training allocates may stay with the process and would count against inference."""
GIB = 2.0**30
ONE_VALUE = "Expected more than 1 value per channel"
"""Of what torch's batch norm raises where it has nothing to normalise, as at the beginning of a sweep from 1."""


def measure(run: ProfileRun, record: Record, environment: Environment, folder: Path) -> None:
    """Measures both modes and puts what it finds into the record; a trace that was asked for goes into `folder`.

    Raises what building the method raises, `UserError` where compiling is asked for and there is no compiler, and
    `ResultsError` if a trace can't be written.
    """
    device = torch.device(run.device)
    meter = EnergyMeter(device)
    room = memory.available(device, run.memory_limit)
    with numerics(run.precision):
        limits = _limits(device, run.precision)
        record.state["before"] = state(device, meter)
        bench = ProfileContext(run, record, environment, folder, meter, memory.Peak(device))
        for mode in MODES:
            _measure_within(room, bench, mode)
        record.state["after"] = state(device, meter)
        limits += _limits(device, run.precision)
    if limits:
        record.limits = reduce(highest, limits)
        for speed in record.speed.values():
            speed.shares = shares(speed, record.limits)
    else:
        record.missing["limits"] = "out of memory: none was left for the matrices and copies that show them"
    if "largest_batch" in run.extras:
        _find_largest_batches(run, record, room)


def killed(run: ProfileRun, record: Record) -> None:
    """Puts into the record that the measuring process died for want of memory. In which mode is not known, so both
    count as too large: of what was measured nothing is left."""
    room = memory.available(torch.device("cpu"), run.memory_limit if run.device == "cpu" else None)
    for mode in MODES:
        record.exceeded[mode] = room
        record.missing[f"speed.{mode}"] = "out of memory: the process died of it, in this mode or the other"


def _limits(device: torch.device, precision: str) -> list[Limits]:
    """The device's ceilings; none where it is so full, of others' things as well, that they can't be measured."""
    try:
        return [measure_limits(device, precision)]
    except Exception as error:
        if not ran_out(error):
            raise
        return []


def _find_largest_batches(run: ProfileRun, record: Record, room: int) -> None:
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
            speed.largest_batch = _searched(run, record, mode, room)
    for mode in record.exceeded:  # it has no `Speed` to hold the answer, which is wanted there most
        fitting = _searched(run, record, mode, room)
        if fitting is not None:
            record.missing[f"speed.{mode}"] += f"; the largest batch that fits is {fitting}"


def _searched(run: ProfileRun, record: Record, mode: Mode, room: int) -> int | None:
    """The largest batch, or None if a try ends in another way: what is measured already is not lost for it."""
    try:
        return max_batch.largest_batch(run, mode, room)
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        record.missing[f"speed.{mode}.largest_batch"] = f"the search came to a size that fails otherwise: {told}"
        return None


def _measure_within(room: int, bench: ProfileContext, mode: Mode) -> None:
    device, record = bench.device, bench.record
    try:
        with memory.limited(device, room):
            record.speed[mode] = measure_mode(bench, mode)
    except Exception as error:
        if ran_out(error):
            record.exceeded[mode] = room
            record.missing[f"speed.{mode}"] = f"out of memory: needs more than {room / GIB:.2f} GiB"
        elif ONE_VALUE in str(error):
            record.missing[f"speed.{mode}"] = "batch norm can't learn from one image of one position; raise batch_size"
        else:
            raise
    gc.collect()  # hooks and closures know each other
    if device.type == "cuda":
        torch.cuda.empty_cache()
