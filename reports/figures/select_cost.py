"""Which figures the profile Runs ask for: roofline, batch sweep, memory by phase."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from reports.figures.memory import Need, memory_by_phase
from reports.figures.roofline import Work, roofline
from reports.figures.select import Drawing, method_order
from reports.figures.sweep import Rate, batch_sweep
from reports.groups import labels
from reports.profile_cells import Cell, cells_of
from results.record import Record
from results.speed import Mode

_MODES: tuple[Mode, ...] = ("inference", "train")


class Setting(NamedTuple):
    """What cells share that stand in one figure."""

    hardware: Any
    precision: Any
    compiled: Any
    input: Any

    def __str__(self) -> str:
        compiled = ", compiled" if self.compiled == "yes" else ""
        return f"{self.hardware}, {self.precision}{compiled}, {self.input} px"


def cost_drawings(records: Sequence[Record]) -> Iterator[Drawing]:
    """Every figure of profile Runs, as far as they measured what it shows."""
    order = method_order(records)
    together: dict[Setting, list[Cell]] = defaultdict(list)
    for cell in cells_of(records).values():
        if cell.speeds:
            together[Setting(*(cell.names[key] for key in Setting._fields))].append(cell)
    for setting, cells in sorted(together.items(), key=lambda pair: str(pair[0])):
        named = list(zip(cells, _names(cells), strict=True))
        yield Drawing("batch_sweep", str(setting), batch_sweep, (_rates(named), order))
        batch = _common_batch(cells)
        alike = [(cell, name) for cell, name in named if cell.names["batch_size"] == batch]
        heading = f"{setting}, batch {batch}"
        yield from _roofline(alike, order, heading)
        needs = [
            Need(name, dict(cell.first("memory") or {}), max(speed.peak_memory for speed in cell.speeds))
            for cell, name in alike
            if cell.mode == "train"
        ]
        yield Drawing("memory", heading, memory_by_phase, (needs,))


def _names(cells: Sequence[Cell]) -> list[str]:
    rows = [cell.names | {"protocol": None, "pretrained": None} for cell in cells]
    return labels(pd.DataFrame(rows))


def _common_batch(cells: Sequence[Cell]) -> int:
    """The batch size that most cells have; of several, the largest."""
    counts = Counter(int(cell.names["batch_size"]) for cell in cells)
    return max(counts, key=lambda size: (counts[size], size))


def _rates(named: Sequence[tuple[Cell, str]]) -> dict[str, dict[str, list[Rate]]]:
    found: dict[str, dict[str, list[Rate]]] = {mode: defaultdict(list) for mode in _MODES}
    for cell, name in named:
        rate, noise = cell.rate, cell.noise
        if rate is not None and noise is not None:
            found[cell.mode][name].append(Rate(int(cell.names["batch_size"]), rate, *noise))
    return {mode: dict(methods) for mode, methods in found.items()}


def _roofline(named: Sequence[tuple[Cell, str]], order: Sequence[str], heading: str) -> Iterator[Drawing]:
    limits = [record.limits for cell, _ in named for record in cell.records if record.limits]
    works = [
        Work(name, str(cell.names["method"]), cell.mode == "train", cell.first("flops"), cell.first("bytes"), rate)
        for cell, name in named
        if (rate := cell.rate) and cell.first("flops") and cell.first("bytes")
    ]
    if limits and works:
        roofs = (median(limit.flops_per_s for limit in limits), median(limit.bytes_per_s for limit in limits))
        yield Drawing("roofline", heading, roofline, (works, *roofs, order))
