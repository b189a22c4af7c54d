"""All checks of a device within a number of minutes, and their record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks import hardware, isolation
from benchmarks.device_check.finding import Finding, not_run
from benchmarks.device_check.plan import PlannedCheck
from benchmarks.device_check.processes import carry_out, in_own_process, row
from benchmarks.device_check.steps import beside_plain
from benchmarks.errors import UserError
from benchmarks.execution.time_budget import TimeBudget, TimeIsUp
from results.device_check import Check, DeviceCheck, write_check

FACTS_SECONDS = 180.0
"""For the first answer of the device: its process loads torch, and a driver may hang."""


class Listener(Protocol):
    """Is informed of the progress."""

    def begins(self, number: int, planned: PlannedCheck, left: float) -> None:
        """The check with this number, counted from 1, begins; `left` seconds are left for it and all others."""

    def ended(self, check: Check) -> None:
        """What became of it."""


class Session:
    """Makes the checks one after another. `record` has at any time what is known so far.

    Raises `UserError` if the device can't be used at all.
    """

    def __init__(self, device: str, minutes: float, small: bool) -> None:
        self.budget = TimeBudget(60 * minutes)
        facts = facts_of(device)
        commit, clean = hardware.commit()
        self.record = DeviceCheck(
            device="cuda" if device == "cuda" else "cpu",
            name=facts["hardware"]["name"],
            small=small,
            minutes=minutes,
            commit=commit,
            clean=clean,
            versions=hardware.versions(),
            hardware=facts["hardware"],
            state={"before": facts["state"]},
        )

    def run(self, checks: Sequence[PlannedCheck], listener: Listener) -> None:
        """Makes the checks while there is time. Those that are left are in the record as not run, also if this is
        interrupted."""
        began = time.monotonic()
        try:
            for number, planned in enumerate(checks, start=1):
                listener.begins(number, planned, self.budget.left)
                self.record.checks.append(carry_out(planned, self.budget.left))
                listener.ended(self.record.checks[-1])
            self._note_state_after()
        finally:
            left = checks[len(self.record.checks) :]
            self.record.checks += [row(planned, not_run("interrupted")) for planned in left]
            self.record.seconds = round(time.monotonic() - began, 2)
            judged = self.record.device == "cuda" and not self.record.small
            self.record.checks = beside_plain(self.record.checks, judged)

    def _note_state_after(self) -> None:
        with contextlib.suppress(UserError):  # what was found is not lost with a device that has gone
            self.record.state["after"] = facts_of(self.record.device)["state"]

    def write(self, results: Path) -> Path:
        """Stores the record below the results folder; returns its file. Raises `ResultsError`."""
        return write_check(results, self.record)


def facts_of(device: str) -> dict[str, Any]:
    """The machine and its present state, from a process of its own, so that this one never opens the GPU.

    Raises `UserError` if the device can't be used.
    """
    try:
        with TimeBudget(FACTS_SECONDS).enforced():
            found = in_own_process(_facts, device)
    except TimeIsUp:
        found = Finding("failed", f"no answer within {FACTS_SECONDS:.0f} s")
    except isolation.WorkerDied as death:
        found = Finding("failed", str(death))
    if isinstance(found, Finding):
        raise UserError(f"{device} can't be used: {found.finding}; look at the driver, or take another --device")
    return dict(found)


def _facts(device: str) -> dict[str, Any]:
    on_device = torch.device(device)
    sensors = hardware.GpuSensors(on_device)
    return {"hardware": hardware.hardware(on_device), "state": hardware.state(on_device, sensors)}
