"""Which figures a set of records has. Their data is prepared here; the other modules draw it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from statistics import median
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from reports.cell_format import BUSY, BUSY_FOOTNOTE, Row, alone
from reports.comparisons import BASELINE, ComparisonGroup, contestants
from reports.contents import Table
from reports.evidence import Evidence
from reports.figures.ablation import gain_bars
from reports.figures.calibration import reliability
from reports.figures.confused import confusions, most_confused
from reports.figures.curves import training_curves
from reports.figures.gains import Gain, gain_cells
from reports.figures.per_class import per_class_difference
from reports.figures.profile import MemoryUse, Rate, batch_sweep, memory_by_phase
from reports.figures.roofline import Work, roofline
from reports.figures.style import CURVES
from reports.figures.throughput import accuracy_against_throughput, shows_busy_rate
from reports.groups import Group, group_labels, labels
from reports.measurements import Measurement
from reports.names import Names
from reports.tables.backbones import gains_of
from reports.tables.head_to_head import whole_methods
from results.stored_tables import Columns

History = Callable[[str], Columns | None]
"""Run id -> its table of epochs, as `ResultStore.history_columns`."""


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn: `draw(*arguments, title)`, which gives None if there is nothing to see."""

    kind: str
    heading: str
    """What is compared."""
    draw: Callable[..., Figure | None]
    arguments: tuple[Any, ...]
    busy: bool = False
    """Whether it has marked rates, which were measured while other work ran."""
    shown: str = ""
    """What people read in the place of `heading`, whose ids name the file; empty if it is the same."""

    @property
    def title(self) -> str:
        """Kind and heading, and what the mark means."""
        return f"{KINDS[self.kind]}: {self.shown or self.heading}" + f" ({BUSY_FOOTNOTE})" * self.busy


KINDS = {
    "throughput": "Accuracy against throughput",
    "gains": "Gain on each backbone",
    "curves": "Training curves",
    "calibration": "Calibration",
    "per_class": "Accuracy by class",
    "confused": "Most confused classes",
    "ablation": "Ablation",
    "batch_sweep": "Throughput over batch size",
    "roofline": "Roofline",
    "memory": "Memory of a training step",
}
"""Kind -> what its figures show."""


def drawings(evidence: Evidence, tables: Mapping[str, Table], history: History) -> Iterator[Drawing]:
    """Every figure of a report."""
    names = evidence.names
    methods = {record.run.method for record in evidence.records}
    order = sorted(methods, key=lambda method: (method != BASELINE, method))  # so that looks are the same everywhere
    order = list(map(names.method, order))
    yield from _throughput(tables["head_to_head"], order, names)
    yield from _gains(tables["backbones"], names)
    yield from _ablations(tables["ablation"], tables["steps"], names)
    for shared, members in evidence.comparisons.items():
        done = [group for group in members if group.done]
        yield from _trainings(shared, done, order, evidence, history)
        yield from _classes(shared, [group for group in contestants(members) if group.done], evidence)
    yield from _profiles(evidence.measurements, order, names)


def first_of_each_kind(several: Iterable[Drawing], most: int) -> Iterator[Drawing]:
    """The first `most` of each kind."""
    count: Counter[str] = Counter()
    for drawing in several:
        count[drawing.kind] += 1
        if count[drawing.kind] <= most:
            yield drawing


def _throughput(head: Table, order: Sequence[str], names: Names) -> Iterator[Drawing]:
    """Of whole methods; as for the curves, a figure per number of epochs where all methods share one. The one with most
    experiments comes first: a report opens with it."""
    budgets: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in head.rows:
        budgets[row["dataset"], row["protocol"], row["epochs"] if row["protocol"] == "common" else 0].append(row)
    whole_of = {budget: whole_methods(rows) for budget, rows in budgets.items()}
    for (dataset, protocol, epochs), whole in sorted(whole_of.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        heading, shown = (
            f"{name}, {protocol} recipe" + (f", epochs: {epochs}" if epochs else "")
            for name in (dataset, names.dataset(dataset))
        )
        rows, busy = list(map(names.row, whole)), shows_busy_rate(whole)
        yield Drawing("throughput", heading, accuracy_against_throughput, (rows, order), busy, shown)


def _gains(backbones: Table, names: Names) -> Iterator[Drawing]:
    """One per part of the table of methods by backbone: its gains, without backbones and methods that have none."""
    for shown, part in backbones.parts():
        gains = {backbone: found for backbone, found in gains_of(part).items() if any(found)}
        methods = [place for place in range(len(part.rows)) if any(found[place] for found in gains.values())]
        cells = [
            [one and Gain(one["gain"], bool(one["verdict"]), alone(one["gain_seeds"])) for one in row]
            for row in ([found[place] for found in gains.values()] for place in methods)
        ]
        told = [(names.label(part.rows[place]["method"]), part.rows[place]["settings"]) for place in methods]
        arguments = ([" ".join(words).strip() for words in told], list(gains), cells)
        if gains:
            yield Drawing("gains", part.rows[0]["arena"], gain_cells, arguments, shown=shown)


def _ablations(ablation: Table, steps: Table, names: Names) -> Iterator[Drawing]:
    for table, axis in ((ablation, "Δ vs full method, points of top-1"), (steps, "gain, points of top-1")):
        for method, comparison in dict.fromkeys((row["method"], row["arena"]) for row in table.rows):
            rows = table.where(method=method, arena=comparison).rows
            if sum(row["difference"] is not None for row in rows) < 2:
                continue  # one bar says no more than its row in the table
            bars = [_step(row) if table is steps else str(row["variant"]) for row in rows]
            heading, shown = (
                ", ".join([*told, *["step by step"] * (table is steps)])
                for told in ((method, comparison), (names.method(method), table.headings.get(comparison, comparison)))
            )
            yield Drawing("ablation", heading, gain_bars, (rows, bars, axis), shown=shown)


def _step(row: Row) -> str:
    """The two variants, and below them the option in which they differ."""
    return f"{row['from']} → {row['to']}\n{row['option']}: {row['before']} → {row['after']}"


def _trainings(
    shared: ComparisonGroup, done: Sequence[Group], order: Sequence[str], evidence: Evidence, history: History
) -> Iterator[Drawing]:
    """Curves and calibration, `CURVES` experiments in a figure."""
    name_of = group_labels(done, evidence.names)  # unique among all, not in one figure alone
    starts = range(0, len(done), CURVES)
    for number, start in enumerate(starts, 1):
        some = done[start : start + CURVES]
        names = [name_of[group] for group in some]
        part = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
        heading, shown = f"{shared}{part}", f"{shared.named(evidence.names)}{part}"
        methods = [evidence.names.method(group.run.method) for group in some]
        keys = methods if len(set(methods)) == len(methods) else names
        histories = ([table for one in group.done if (table := history(one.id)) is not None] for group in some)
        curves = (list(zip(names, histories, strict=True)), keys, order)
        yield Drawing("curves", heading, training_curves, curves, shown=shown)
        of = evidence.predictions.of
        seeds = [[(run.confidence, run.right) for run in of(group).by_seed.values()] for group in some]
        confidences = (list(compress(zip(names, seeds, strict=True), seeds)), list(compress(keys, seeds)), order)
        yield Drawing("calibration", heading, reliability, confidences, shown=shown)


def _classes(shared: ComparisonGroup, whole: Sequence[Group], evidence: Evidence) -> Iterator[Drawing]:
    """The classes that the most accurate method confuses, and how it compares to the baseline class by class.

    `whole` are whole methods: the best of all variants would be one that the test set chose. Where there is no
    baseline, or it is the most accurate, the next method is compared.
    """
    known = [(group, found) for group in whole if (found := evidence.predictions.of(group)).images is not None]
    if not known:
        return
    accuracy = {group: found.right(found.seeds).mean() for group, found in known}
    known.sort(key=lambda pair: -accuracy[pair[0]])
    ids, names = group_labels(whole), group_labels(whole, evidence.names)
    best, found = known[0]
    comparison = str(shared.named(evidence.names))
    class_names = next((list(one) for record in best.done if (one := record.split.get("class_names"))), [])
    pairs, shown = confusions(found, class_names), f"{names[best]}, {comparison}"
    yield Drawing("confused", f"{ids[best]}, {shared}", most_confused, (pairs,), shown=shown)
    others = [pair for pair in known[1:] if pair[1].images is found.images and set(pair[1].seeds) & set(found.seeds)]
    # The sort is stable, so without a baseline the next in accuracy comes first.
    others.sort(key=lambda pair: pair[0].run.method != BASELINE)
    if others:
        second, other = others[0]
        seeds = sorted(set(found.seeds) & set(other.seeds))
        difference = found.right(seeds).mean(axis=1) - other.right(seeds).mean(axis=1)
        methods = (names[best], names[second])
        arguments = (difference, found.by_seed[seeds[0]].labels, class_names, methods)
        yield Drawing("per_class", str(shared), per_class_difference, arguments, shown=comparison)


class _Setting(NamedTuple):
    """What the measurements of one figure share."""

    hardware: Any
    precision: Any
    compiled: Any
    checkpointed: Any
    input: Any

    def __str__(self) -> str:
        ways = {"no": "", "yes": ", compiled"}.get(self.compiled, f", compiled {self.compiled}")
        ways += ", checkpointed" if self.checkpointed else ""
        return f"{self.hardware}, {self.precision}{ways}, {self.input} px"


def _profiles(measurements: Sequence[Measurement], order: Sequence[str], names: Names) -> Iterator[Drawing]:
    """The figures of profile Runs, as far as they measured what a figure shows."""
    together: dict[_Setting, list[Measurement]] = defaultdict(list)
    for one in measurements:
        if one.speeds:
            together[_Setting(*(one.names[key] for key in _Setting._fields))].append(one)
    for setting, several in sorted(together.items(), key=lambda pair: str(pair[0])):
        told = labels([names.row(one.names) | {"pretrained": None} for one in several])
        named = list(zip(several, told, strict=True))
        busy = {name for one, name in named if one.busy}  # a curve has the mark if one of its points has
        curves = _rates([(one, name + BUSY * (name in busy)) for one, name in named])
        yield Drawing("batch_sweep", str(setting), batch_sweep, (curves, order), bool(busy))
        counts = Counter(one.run.batch_size for one in several)
        batch = max(counts, key=lambda size: (counts[size], size))  # the most common; of several, the largest
        named = [(one, name) for one, name in named if one.run.batch_size == batch]
        heading = f"{setting}, batch {batch}"
        yield from _roofline([(one, name + BUSY * one.busy) for one, name in named], order, heading, names)
        uses = [
            MemoryUse(name, dict(one.first("memory") or {}), max(speed.peak_memory for speed in one.speeds))
            for one, name in named
            if one.mode == "train"
        ]
        yield Drawing("memory", heading, memory_by_phase, (uses,))


def _rates(named: Sequence[tuple[Measurement, str]]) -> dict[str, dict[str, list[Rate]]]:
    found: dict[str, dict[str, list[Rate]]] = {"inference": defaultdict(list), "train": defaultdict(list)}
    for one, name in named:
        rate, noise = one.rate, one.noise
        if rate is not None and noise is not None:
            found[one.mode][name].append(Rate(one.run.batch_size, rate, *noise))
    return {mode: dict(methods) for mode, methods in found.items()}


def _roofline(
    named: Sequence[tuple[Measurement, str]], order: Sequence[str], heading: str, names: Names
) -> Iterator[Drawing]:
    limits = [record.limits for one, _ in named for record in one.records if record.limits]
    works = [
        Work(name, names.method(one.run.method), one.mode == "train", one.first("flops"), one.first("bytes"), rate)
        for one, name in named
        if (rate := one.rate) and one.first("flops") and one.first("bytes")
    ]
    if limits and works:
        roofs = (median(limit.flops_per_s for limit in limits), median(limit.bytes_per_s for limit in limits))
        busy = any(one.name.endswith(BUSY) for one in works)
        yield Drawing("roofline", heading, roofline, (works, *roofs, order), busy)
