"""Profile Runs -> measurements: what a method on a backbone costs at one size, batch, precision and device.

A measurement has several repeats, each a Run: its rate is their median, and their distance is its noise.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reports.cell_format import PART, SOURCES
from reports.groups import Group, distinctions, hardware_name, rules
from reports.load import overloaded
from results.record import Record
from results.settings import ProfileRun
from results.speed import Mode, Speed

NOT_MEASURED = {"repeat", "extras", "memory_limit"}
"""Settings in which the repeats of one measurement may differ."""


@dataclass(frozen=True)
class Measurement:
    """One mode of what was measured together, with its repeats."""

    key: str
    """Settings that the repeats, and the other mode, share; JSON."""
    mode: Mode
    records: tuple[Record, ...]
    settings: str = ""
    """What distinguishes it from others with the same name; empty if nothing does."""

    @property
    def run(self) -> ProfileRun:
        """The settings, with the repeat of the first record."""
        run = self.records[0].run
        assert isinstance(run, ProfileRun)
        return run

    @property
    def speeds(self) -> list[Speed]:
        """Of the repeats that fitted into memory."""
        return [record.speed[self.mode] for record in self.records if self.mode in record.speed]

    @property
    def rate(self) -> float | None:
        """Images/s, median over repeats."""
        return statistics.median(speed.images_per_s for speed in self.speeds) if self.speeds else None

    @property
    def noise(self) -> tuple[float, float] | None:
        """Images/s: the lowest 10th and the highest 90th percentile of any repeat."""
        if not self.speeds:
            return None
        return (
            min(speed.images_per_s_p10 for speed in self.speeds),
            max(speed.images_per_s_p90 for speed in self.speeds),
        )

    @property
    def started(self) -> tuple[datetime, datetime]:
        """When its first and its last repeat began."""
        times = [record.started for record in self.records]
        return min(times), max(times)

    @property
    def peak_memory(self) -> int | None:
        """Bytes, the most of any repeat."""
        return max((speed.peak_memory for speed in self.speeds), default=None)

    @property
    def exceeded(self) -> int | None:
        """Bytes that did not suffice for any repeat."""
        tried = [record.exceeded[self.mode] for record in self.records if self.mode in record.exceeded]
        return max(tried) if tried and not self.speeds else None

    @property
    def hardware(self) -> str | None:
        """The device that was measured."""
        return hardware_name(self.records[0])

    @property
    def names(self) -> dict[str, Any]:
        """The values that name its row."""
        run = self.run
        return {
            **{key: getattr(run, key) for key in ("method", "variant", "backbone", "precision", "batch_size")},
            "input": run.image_size,
            "compiled": _compiled(run),
            "checkpointed": "yes" if run.checkpointing else None,
            "settings": self.settings,
            "mode": self.mode,
            "hardware": self.hardware,
        }

    @property
    def row(self) -> dict[str, Any]:
        """What a table's row about it begins with."""
        ids = tuple(record.id for record in self.records)
        return self.names | {PART: place(self.names), "runs": " ".join(ids), SOURCES: (ids,)}

    @property
    def busy(self) -> bool:
        """Whether other work ran during any repeat, on the machine or on its GPU."""
        return self.shared or any(overloaded(record) for record in self.records)

    @property
    def shared(self) -> bool:
        """Whether other processes used the GPU during any repeat: its energy and its time were also theirs."""
        return any(_others(record, self.mode) for record in self.records)

    @property
    def conditions(self) -> str | None:
        """What may have lowered the rate, according to any repeat; None if nothing is known."""
        found: dict[str, None] = {}
        for record in self.records:
            at_work = record.state.get(self.mode) or {}
            found |= dict.fromkeys(f"clocks: {reason}" for reason in at_work.get("throttled") or ())
            if overloaded(record):
                found["more work than cores"] = None
            if _others(record, self.mode):
                found["other processes on the GPU"] = None
            if self.mode in record.speed and record.speed[self.mode].steady is False:
                found["never steady"] = None
        return ", ".join(found) or None

    def first(self, field: str) -> Any:
        """A field of the first repeat that has it; None, an empty list or dictionary is none."""
        return next((value for speed in self.speeds if (value := getattr(speed, field))), None)


def place(names: Mapping[str, Any]) -> str:
    """What measurements share whose rates may be compared: device, backbone, size of images, and mode."""
    return f"{names['hardware'] or 'unknown device'}, {names['backbone']}, {names['input']} px, {names['mode']}"


def _others(record: Record, mode: Mode) -> bool:
    """Whether other processes used the GPU in this mode; False where the record does not say."""
    others = (record.state.get(mode) or {}).get("other_processes")
    return isinstance(others, int) and others > 0


def measurements(records: Iterable[Record]) -> list[Measurement]:
    """The finished profile Runs, repeats together."""
    together: dict[tuple[str, Mode], list[Record]] = defaultdict(list)
    for record in records:
        if isinstance(record.run, ProfileRun) and record.status == "done":
            key = json.dumps(_settings(record, record.run), sort_keys=True)
            for mode in sorted({*record.speed, *record.exceeded}):
                together[key, mode].append(record)
    namesakes: dict[str, list[Measurement]] = defaultdict(list)
    for (key, mode), members in together.items():
        found = Measurement(key, mode, tuple(sorted(members, key=lambda record: record.run.replicate)))
        namesakes[json.dumps(found.names)].append(found)
    distinct = {
        (one.key, one.mode): replace(one, settings=settings)
        for alike in namesakes.values()
        for one, settings in zip(alike, distinctions((json.loads(one.key) for one in alike), letters=60), strict=True)
    }
    return [distinct[place] for place in together]


def _settings(record: Record, run: ProfileRun) -> dict[str, Any]:
    """What its repeats share. Of the images that were brought to the device: whose they are, and by which way."""
    images = f"{run.input.dataset}, {run.input.feed}" if run.input else None
    own = {"input": images, "hardware": hardware_name(record)}
    return run.model_dump(mode="json", exclude=NOT_MEASURED) | own | rules(record)


def _compiled(run: ProfileRun) -> str:
    """`no`, `yes`, or the mode of torch.compile where it isn't the default."""
    if not run.compile:
        return "no"
    return "yes" if run.compile_mode == "default" else run.compile_mode


Cost = Mapping[Mode, Measurement]
"""What was measured together, by mode; empty if nothing was."""


class Costs:
    """Finds the measurement that says what an experiment costs."""

    def __init__(self, found: Iterable[Measurement], records: Iterable[Record]) -> None:
        by_key: dict[str, dict[Mode, Measurement]] = defaultdict(dict)
        for one in found:
            by_key[one.key][one.mode] = one
        self._costs = list(by_key.values())
        counts = Counter(hardware_name(one) for one in records if one.run.job == "profile" and one.status == "done")
        self._hardware = max(sorted(counts, key=str), key=counts.__getitem__, default=None)
        """The device that most profile Runs were measured on: rates of one table should come from one device."""

    def of(self, group: Group) -> Cost:
        """The measurement of the same network and input size, on the most common device before any other.

        Of several (a sweep over batch sizes or precisions) the one with the highest inference rate, so that each
        method is shown at its best and all of its numbers come from one measurement.
        """
        return max((cost for cost in self._costs if _same_network(group, _any(cost))), key=self._rank, default={})

    def _rank(self, cost: Cost) -> tuple[bool, float, float]:
        inference, train = ((cost[mode].rate if mode in cost else None) for mode in ("inference", "train"))
        return (_any(cost).hardware == self._hardware, inference or 0.0, train or 0.0)


def _any(cost: Cost) -> Measurement:
    return next(iter(cost.values()))


def _same_network(group: Group, measured: Measurement) -> bool:
    trained, profiled = group.run, measured.run
    if profiled.checkpointing:  # it trades time for memory: no cost of the method's own
        return False
    if any(
        getattr(trained, key) != getattr(profiled, key)
        for key in ("method", "variant", "options", "backbone", "image_size")
    ):
        return False
    # A weight file may add options to a trained backbone; those that the profile names have to agree.
    if any(trained.backbone_options.get(key) != value for key, value in profiled.backbone_options.items()):
        return False
    return bool(profiled.classes == group.records[0].split.get("classes", profiled.classes))
