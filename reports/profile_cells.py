"""Profile Runs -> cells: a method on a backbone at one size, batch, precision and device.

The repeats of a cell are one measurement: the median of their rates, and how far they lie apart.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.groups import hardware_name, job, value_of
from results.record import Record
from results.settings import flat
from results.speed import Mode, Speed

NOT_OF_THE_CELL = ("repeat", "extras", "memory_limit", "suite")
"""Settings in which repeats of one measurement may differ."""
EARLIER = {"compile": False, "optimizer": "sgd"}
"""What records meant that were written before they could say so."""


@dataclass(frozen=True)
class Cell:
    """One mode of one measurement, with its repeats."""

    mode: Mode
    records: tuple[Record, ...]
    settings: str = ""
    """What sets this cell apart from others of the same name; empty if nothing does."""

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
    def peak_memory(self) -> int | None:
        """Bytes, the most of any repeat."""
        return max((speed.peak_memory for speed in self.speeds), default=None)

    @property
    def exceeded(self) -> int | None:
        """Bytes that did not suffice for any repeat."""
        tried = [record.exceeded[self.mode] for record in self.records if self.mode in record.exceeded]
        return max(tried) if tried and not self.speeds else None

    @property
    def names(self) -> dict[str, Any]:
        """What a row about it is named by."""
        record = self.records[0]
        run = EARLIER | record.run
        return {
            key: run.get(key) for key in ("method", "variant", "backbone", "dataset", "precision", "batch_size")
        } | {
            "input": value_of(record, "input"),
            "compiled": "yes" if run["compile"] else "no",
            "settings": self.settings,
            "mode": self.mode,
            "hardware": hardware_name(record),
            "runs": " ".join(one.id for one in self.records),
        }

    @property
    def conditions(self) -> str | None:
        """What may have held the rate down, as any repeat tells; None if nothing is known to have."""
        found: dict[str, None] = {}
        for record in self.records:
            at_work = record.state.get(self.mode) or {}
            found |= dict.fromkeys(f"clocks: {reason}" for reason in at_work.get("throttled") or ())
            cores = record.hardware.get("cores")
            if cores and (record.state.get("before") or {}).get("load", 0.0) > cores:
                found["more work than cores"] = None
            if self.mode in record.speed and record.speed[self.mode].steady is False:
                found["never steady"] = None
        return ", ".join(found) or None

    def first(self, field: str) -> Any:
        """A field of the first repeat that has it; None, an empty list or dictionary is none."""
        return next((value for speed in self.speeds if (value := getattr(speed, field))), None)


def cells_of(records: Iterable[Record]) -> dict[str, Cell]:
    """The finished profile Runs, repeats together, by what defines the cell."""
    together: dict[tuple[str, Mode], list[Record]] = defaultdict(list)
    for record in records:
        if job(record) == "profile" and record.status == "done":
            settings = _settings(record)
            settings["hardware"] = hardware_name(record)
            for mode in sorted({*record.speed, *record.exceeded}):
                together[json.dumps(settings, sort_keys=True, default=str), mode].append(record)
    found = {
        f"{settings} {mode}": Cell(mode, tuple(sorted(members, key=lambda one: int(one.run.get("repeat", 0)))))
        for (settings, mode), members in together.items()
    }
    return _told_apart(found)


def _told_apart(found: Mapping[str, Cell]) -> dict[str, Cell]:
    """The cells, those of the same name with the settings in which they differ: `classes=20`."""
    namesakes: dict[str, list[Cell]] = defaultdict(list)
    for cell in found.values():
        namesakes[_name(cell)].append(cell)
    return {key: replace(cell, settings=_distinction(cell, namesakes[_name(cell)])) for key, cell in found.items()}


def _name(cell: Cell) -> str:
    return json.dumps({key: value for key, value in cell.names.items() if key != "runs"}, default=str)


def _distinction(cell: Cell, namesakes: Sequence[Cell]) -> str:
    others = [flat(_settings(one.records[0])) for one in namesakes]
    return ", ".join(
        f"{key.rpartition('.')[2]}={value}"
        for key, value in flat(_settings(cell.records[0])).items()
        if len({str(other.get(key)) for other in others}) > 1
    )


def _settings(record: Record) -> dict[str, Any]:
    """What its repeats share; of the images that were brought to the device, whose they are and by which way."""
    run: dict[str, Any] = EARLIER | record.run
    images = run.get("input")
    run["input"] = f"{images['dataset']}, {images['feed']}" if images else None
    return {key: value for key, value in run.items() if key not in NOT_OF_THE_CELL}
