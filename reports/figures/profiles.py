"""Figures of profile Runs: what a method costs on a device."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from reports.cell_format import BUSY
from reports.figures.drawing import Drawing
from reports.figures.kinds import profile, roofline
from reports.figures.looks import Look, Looks
from reports.groups import labels
from reports.measurements import Measurement
from reports.names import Names


class _Setting(NamedTuple):
    """What the measurements of one figure share."""

    backbone: Any
    hardware: Any
    precision: Any
    compiled: Any
    checkpointed: Any
    input: Any

    def __str__(self) -> str:
        ways = {"no": "", "yes": ", compiled"}.get(self.compiled, f", compiled {self.compiled}")
        ways += ", checkpointed" if self.checkpointed else ""
        return f"{self.backbone}, {self.hardware}, {self.precision}{ways}, {self.input} px"


def of_profiles(measurements: Sequence[Measurement], looks: Looks, names: Names) -> Iterator[Drawing]:
    """The figures of profile Runs, as far as they measured what a figure shows."""
    together: dict[_Setting, list[Measurement]] = defaultdict(list)
    for one in measurements:
        if one.speeds:
            together[_Setting(*(one.names[key] for key in _Setting._fields))].append(one)
    for setting, several in sorted(together.items(), key=lambda pair: str(pair[0])):
        heading, shown = str(setting), str(setting._replace(backbone=names.backbone(str(setting.backbone))))
        told = labels([names.row(one.names) | {"pretrained": None} for one in several])
        named = list(zip(several, told, strict=True))
        experiments = {name: (one.run.method, one.run.variant) for one, name in named}
        look_of = dict(zip(experiments, looks.together(list(experiments.values())), strict=True))
        busy = {name for one, name in named if one.busy}  # a curve has the mark if one of its points has
        rates = _rates([(one, name + BUSY * (name in busy)) for one, name in named])
        own = look_of | {name + BUSY: look_of[name] for name in busy}
        sweep = (rates, own), profile.SWEEP_CAPTION, bool(busy)
        yield Drawing("batch_sweep", heading, profile.batch_sweep, *sweep, shown=shown)
        counts = Counter(one.run.batch_size for one in several)
        batch = max(counts, key=lambda size: (counts[size], size))  # the most common; of several, the largest
        named = [(one, name) for one, name in named if one.run.batch_size == batch]
        heading, shown = f"{heading}, batch {batch}", f"{shown}, batch {batch}"
        yield from _roofline(named, look_of, heading, shown)
        uses = [
            profile.MemoryUse(name, dict(one.first("memory") or {}), max(speed.peak_memory for speed in one.speeds))
            for one, name in named
            if one.mode == "train"
        ]
        yield Drawing("memory", heading, profile.memory_by_phase, (uses,), profile.MEMORY_CAPTION, shown=shown)


def _rates(named: Sequence[tuple[Measurement, str]]) -> dict[str, dict[str, list[profile.Rate]]]:
    found: dict[str, dict[str, list[profile.Rate]]] = {"inference": defaultdict(list), "train": defaultdict(list)}
    for one, name in named:
        rate, noise = one.rate, one.noise
        if rate is not None and noise is not None:
            found[one.mode][name].append(profile.Rate(one.run.batch_size, rate, *noise))
    return {mode: dict(methods) for mode, methods in found.items()}


def _roofline(
    named: Sequence[tuple[Measurement, str]], look_of: Mapping[str, Look], heading: str, shown: str
) -> Iterator[Drawing]:
    limits = [record.limits for one, _ in named for record in one.records if record.limits]
    works = [
        roofline.Work(
            name + BUSY * one.busy, look_of[name], one.mode == "train", one.first("flops"), one.first("bytes"), rate
        )
        for one, name in named
        if (rate := one.rate) and one.first("flops") and one.first("bytes")
    ]
    if limits and works:
        roofs = (median(limit.flops_per_s for limit in limits), median(limit.bytes_per_s for limit in limits))
        busy = any(one.name.endswith(BUSY) for one in works)
        yield Drawing("roofline", heading, roofline.roofline, (works, *roofs), roofline.CAPTION, busy, shown)
