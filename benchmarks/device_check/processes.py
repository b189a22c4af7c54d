"""One check in a process of its own, within its time: a crash or a hang is a failed check and ends no other."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks import isolation
from benchmarks.device_check.finding import Finding, not_run, one_line
from benchmarks.device_check.plan import PlannedCheck
from benchmarks.execution.time_budget import TimeBudget, TimeIsUp
from benchmarks.training.device import ran_out_of_memory
from results.device_check import Check

NO_TIME = "no time left"


def carry_out(planned: PlannedCheck, left: float) -> Check:
    """Makes the check, in at most `left` seconds. Whatever becomes of it is in what is returned.

    Must be called in the main thread, which hears that the time is up.
    """
    limit, began = min(planned.seconds, left), time.monotonic()
    if planned.not_here or limit <= 0:
        return row(planned, not_run(planned.not_here or NO_TIME))
    try:
        with TimeBudget(limit).enforced():
            found = in_own_process(planned.work, *planned.arguments)
    except TimeIsUp:
        found = not_run(NO_TIME) if limit < planned.seconds else _hang(limit)
    except isolation.WorkerDied as death:
        found = Finding("failed", str(death))
    return row(planned, found, time.monotonic() - began)


def in_own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns; a `Finding` instead if it raises. Raises `isolation.WorkerDied`."""
    return isolation.run_isolated(_attempt, work, arguments, on_message=lambda _: None)


def _attempt(work: Callable[..., Any], arguments: tuple[Any, ...], send: isolation.Send) -> Any:
    warnings.simplefilter("ignore")  # the findings are what a user reads, and a few libraries warn of themselves
    try:
        return work(*arguments)
    except Exception as error:  # not every error of torch can be sent to another process
        if ran_out_of_memory(error):
            return not_run("memory is too small")
        return Finding("failed", one_line(error), traceback=traceback.format_exc())


def _hang(limit: float) -> Finding:
    return Finding("failed", f"not done after {limit:.0f} s: a hang, or much other work on the machine")


def row(planned: PlannedCheck, found: Finding, seconds: float = 0.0) -> Check:
    """A check with its finding. Numbers that are not finite are left out: JSON has none."""
    return Check(
        group=planned.group,
        method=planned.method,
        case=planned.case,
        status=found.status,
        finding=found.finding,
        numbers={name: value for name, value in found.numbers.items() if math.isfinite(value)},
        traceback=found.traceback,
        seconds=round(seconds, 2),
    )
