"""Which Runs belong to one row of a table, and what a row is called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reports.cell_format import SOURCES
from reports.names import IDS, Names
from results import identity
from results.record import Metrics, Record, Selection
from results.settings import AnyRun, ProfileRun, Run, flat
from results.values.text import counted, in_a_row

NAMED = ("dataset", "protocol", "method", "variant", "backbone", "pretrained", "input")
"""The values that name a row of a table. `dataset` is the task on it (`webfg_496:bird`), `input` the image size."""
FILTERS = (*NAMED, "epochs", "seed")
"""Settings by which a page chooses records."""


def named(run: AnyRun) -> dict[str, Any]:
    """The Run's settings by their names in tables, `FILTERS`; None for what a profile Run does not have."""
    shared = {"method": run.method, "variant": run.variant, "backbone": run.backbone, "input": run.image_size}
    if isinstance(run, ProfileRun):
        return dict.fromkeys(FILTERS) | shared
    own = {"dataset": run.task, "protocol": run.protocol, "pretrained": run.pretrained}
    return dict.fromkeys(NAMED) | own | shared | {"epochs": run.recipe.epochs, "seed": run.seed}


def hardware_name(record: Record) -> str | None:
    """The GPU or processor that did the work."""
    known = record.hardware
    if "capability" not in known and known.get("device") == "cpu" and {"processor", "threads"} <= known.keys():
        threads = "1 thread" if known["threads"] == 1 else f"{known['threads']} threads"
        return f"{known['processor']}, {threads}"  # older records name the processor alone
    planned = record.run.hardware if isinstance(record.run, ProfileRun) else None
    name = known.get("name") or planned
    return str(name) if name else None


def selected(record: Record, selection: Selection) -> Metrics | None:
    """Metrics of the epoch that was selected so; None for a selection that had one epoch to choose from."""
    return None if selection != "last" and evaluated_once(record) else record.metrics.get(selection)


def evaluated_once(record: Record) -> bool:
    """Whether only the last epoch was evaluated, so that nothing was selected."""
    last = record.metrics.get("last")
    return last is not None and isinstance(record.run, Run) and record.run.recipe.evaluate_every >= last.epoch


@dataclass(frozen=True, eq=False)
class Group:
    """The seeds of one experiment: train Runs on one split that differ in nothing but the seed, and whose batches were
    cut alike."""

    records: tuple[Record, ...]
    """Finished and failed ones, ordered by seed."""
    settings: str = ""
    """What distinguishes this group from others with the same names, and its `conditions`; may be empty."""

    @property
    def run(self) -> Run:
        """The settings, with the seed of the first record."""
        run = self.records[0].run
        assert isinstance(run, Run)
        return run

    @cached_property
    def names(self) -> dict[str, Any]:
        """The row's `NAMED` values and `settings`."""
        values = named(self.run)
        return {key: values[key] for key in NAMED} | {"settings": self.settings}

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the Runs."""
        return tuple(record.id for record in self.records)

    @property
    def row(self) -> dict[str, Any]:
        """What a table's row about it begins with."""
        return self.names | {SOURCES: (self.ids,)}

    @cached_property
    def done(self) -> tuple[Record, ...]:
        """The finished Runs."""
        return tuple(record for record in self.records if record.status == "done")

    @cached_property
    def conditions(self) -> str:
        """What decided the finished seeds' results and is no setting: values that differ between them, or the pieces
        into which their batches were cut. Empty if there is nothing to tell; what an older record does not say is
        unknown, not different."""
        on_cpu = [record for record in self.done if record.hardware.get("device") == "cpu"]
        values: dict[str, Sequence[object]] = {
            "processes": _known(self.done, "processes"),
            "threads": _known(on_cpu, "threads"),
            "compiled": list(dict.fromkeys(record.compile_mode or "no" for record in self.done)),
        }
        told = [f"{name}: {', '.join(map(str, known))}" for name, known in values.items() if len(known) > 1]
        differing = f"seeds differ in {'; '.join(told)}" if told else ""
        return "; ".join(filter(None, [self.cut, differing]))

    @property
    def experiment(self) -> str:
        """Equal for the seeds of one experiment, however their batches were cut."""
        return _experiment(self.records[0])

    @property
    def epochs(self) -> int | None:
        """Of each training; None where nothing was trained in epochs, whatever the recipe says."""
        return None if self.done and all(map(fitted, self.done)) else self.run.recipe.epochs

    @property
    def cut(self) -> str:
        """How the batches of all its seeds were cut; empty if they were not."""
        return _cut(self.records[0])

    def metrics(self, selection: Selection) -> list[Metrics]:
        """One per finished seed that has them."""
        return [found for record in self.done if (found := selected(record, selection))]


def groups(records: Iterable[Record]) -> list[Group]:
    """The train Runs, seeds together, in the order of their names.

    A Run whose batches were cut is no seed beside those whose batches were not: batch norm saw other statistics.
    """
    together: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.run.job == "train":
            together[_experiment(record), _cut(record)].append(record)
    namesakes: dict[str, list[Group]] = defaultdict(list)
    for members in together.values():
        group = Group(tuple(sorted(members, key=lambda record: (record.run.replicate, record.id))))
        namesakes[repr(list(group.names.values()))].append(group)
    return [
        Group(group.records, "; ".join(filter(None, (settings, _precision(group, settings), group.conditions))))
        for _, alike in sorted(namesakes.items())
        for group, settings in zip(alike, distinctions(map(_settings, alike)), strict=True)
    ]


def all_conditions(several: Iterable[Group], names: Names = IDS) -> str:
    """A sentence for each group with `conditions` to tell, for tables that don't show its settings; begins with a space
    unless there is none."""
    found = [group for group in several if group.conditions]
    return "".join(
        f" {names.method(group.run.method, group.run.variant)} on {names.dataset(group.run.task)}: {group.conditions}."
        for group in found
    )


def fitted(record: Record) -> bool:
    """Whether the method was fitted to features of a frozen network: there were no steps, and no epochs."""
    return record.training.get("micro_batch") == 0


def _known(records: Iterable[Record], key: str) -> list[int]:
    """The distinct values of a key of `Record.training`, in the order of the seeds."""
    return [int(value) for value in dict.fromkeys(record.training.get(key) for record in records) if value is not None]


def _cut(record: Record) -> str:
    """How batches were cut further than the recipe asks for, because of memory or by hand; empty if they were not."""
    run, size = record.run, record.training.get("micro_batch")
    if size is None or fitted(record) or not isinstance(run, Run):
        return ""
    images = min(run.recipe.batch_size, record.split.get("train", run.recipe.batch_size))
    asked = images / run.recipe.accumulate / record.training.get("processes", 1)
    if size >= int(asked):
        return ""
    before = int(record.training.get("images_before_cut", 0))
    return f"batches in pieces of {int(size)}" + f" after {counted(before, 'image')}" * bool(before)


def _experiment(record: Record) -> str:
    """Equal for the seeds of one experiment. A Run of other rules whose record does not name it stands alone."""
    return record.experiment or (record.run.experiment if record.current else record.hash)


def _settings(group: Group) -> dict[str, Any]:
    settings = group.run.model_dump(mode="json", exclude={"seed", *identity.CHECKED})
    return settings | identity.contents(group.run) | rules(group.records[0])


def _precision(group: Group, settings: str) -> str:
    """Unless it is fp32 or among the settings that are told: the rows beside it in a table may be fp32."""
    precision = f"precision={group.run.precision}"
    return "" if group.run.precision == "fp32" or precision in settings else precision


def rules(record: Record) -> dict[str, str]:
    """What distinguishes a Run that was recorded under other rules than today's."""
    return {"rules": "today's" if record.current else "other"}


def distinctions(several: Iterable[Mapping[str, Any]], letters: int = 20) -> list[str]:
    """For each of several mappings its values where they don't all agree: `epochs=2`. Values are cut to `letters`."""
    settings = [flat(dict(each)) for each in several]
    every = {key: None for each in settings for key in each}
    differing = [key for key in every if len({str(each.get(key)) for each in settings}) > 1]
    return [
        ", ".join(f"{key.rpartition('.')[2]}={str(each.get(key))[:letters]}" for key in differing) for each in settings
    ]


def group_labels(several: Sequence[Group], names: Names = IDS) -> dict[Group, str]:
    """The shortest names that distinguish the groups."""
    return dict(zip(several, labels([names.row(group.names) for group in several]), strict=True))


def labels(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """The shortest names that distinguish the rows: the method, and what differs between rows of the same name."""
    names = [in_a_row(str(row["method"])) for row in rows]
    for key in (*NAMED[3:], "settings"):
        values = [in_a_row(str(row[key])) for row in rows]
        meanings: dict[str, set[str]] = defaultdict(set)
        for name, value in zip(names, values, strict=True):
            meanings[name].add(value)
        names = [
            f"{name} {value}" if len(meanings[name]) > 1 else name for name, value in zip(names, values, strict=True)
        ]
    return names
