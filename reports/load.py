"""Whether a rate was measured while the machine had other work, which lowers it."""

from __future__ import annotations

from typing import Literal

from results.device_check import DeviceCheck
from results.record import Record
from results.settings import ProfileRun

TOLERANCE = 1.25
"""Load per core that a training may reach: its own threads count too."""


def overloaded(record: Record) -> bool:
    """Whether the machine had more work than cores, or the device other trainings of the same plan; False where the
    record does not say.

    Of a profile Run, before it began; of a training, on average of the minutes before it began and before it ended.
    """
    if record.training.get("parallel", 1) > 1:
        return True
    if isinstance(record.run, ProfileRun):
        return busy_before(record)
    cores, before, after = record.hardware.get("cores"), _load(record, "before"), _load(record, "after")
    if not isinstance(cores, int) or before is None:
        return False
    return after is not None and (before + after) / 2 > TOLERANCE * cores


def busy_before(record: Record | DeviceCheck) -> bool:
    """Whether the machine had more work than cores before the work of the record began; False where it does not say."""
    cores, load = record.hardware.get("cores"), _load(record, "before")
    return isinstance(cores, int) and load is not None and load > cores


def _load(record: Record | DeviceCheck, when: Literal["before", "after"]) -> float | None:
    load = (record.state.get(when) or {}).get("load")
    return load if isinstance(load, int | float) else None  # a record may be from anywhere
