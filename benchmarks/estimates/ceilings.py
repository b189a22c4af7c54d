"""What this device can do at most, measured in about a second and then kept."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import torch
from pydantic import Field

from benchmarks import hardware, isolation
from benchmarks.estimates import kept
from benchmarks.profiling.roofline import measure_limits
from benchmarks.training.device import numerics, ran_out_of_memory
from results.speed import Limits

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Ceilings(Limits):
    """Limits by which a guess can be divided: a file of the cache may hold anything."""

    flops_per_s: Rate
    bytes_per_s: Rate
    launch_s: Rate


@cache
def ceilings(device: str, precision: str) -> Ceilings | None:
    """The device's ceilings; None if its memory is too full to measure them.

    What is measured on a machine with more work than cores is not kept for later.
    """
    name = hardware.device_name(torch.device(device))
    key = {"device": name, "precision": precision, "torch": torch.__version__}
    return kept.read_or_make("ceilings", key, Ceilings, lambda: _measured(device, precision), hardware.overloaded())


def _measured(device: str, precision: str) -> Ceilings | None:
    if device == "cpu":
        return _measure(device, precision)
    # In a process of its own, so that this one does not open CUDA.
    found: Ceilings | None = isolation.run_isolated(_measure, device, precision, on_message=lambda _: None)
    return found


def _measure(device: str, precision: str, send: isolation.Send | None = None) -> Ceilings | None:
    try:
        with numerics(precision):
            return Ceilings.model_validate(measure_limits(torch.device(device), precision).model_dump())
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        return None
