"""Which Runs belong to one row of a table, and what a row is called."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from reports.cell_format import one_line
from results.record import Metrics, Record, Selection
from results.settings import flat, task

NAMED = ("dataset", "protocol", "method", "variant", "backbone", "pretrained", "input")
"""What a row of a table is named by. `dataset` is the task on it (`webfg_496:bird`), `input` the image size, pixels."""
_NOT_SETTINGS = ("seed", "suite")
"""Two Runs that differ in nothing else are two draws of the same experiment."""


def value_of(record: Record, key: str) -> Any:
    """A setting of the Run by its name in tables, or None where the record does not say."""
    if key == "input":
        recipe = record.run.get("recipe") or {}
        return recipe.get("image_size", record.run.get("image_size", record.model.get("input")))
    if key == "epochs":
        return (record.run.get("recipe") or {}).get("epochs")
    if key == "dataset" and record.run.get("dataset_options"):
        return task(str(record.run["dataset"]), record.run["dataset_options"])
    return record.run.get(key)


def job(record: Record) -> str:
    """`train` or `profile`."""
    return str(record.run.get("job", "train"))


def hardware_name(record: Record) -> str | None:
    """The GPU or processor that did the work."""
    known = record.hardware
    if "capability" not in known and known.get("device") == "cpu" and {"processor", "threads"} <= known.keys():
        threads = "1 thread" if known["threads"] == 1 else f"{known['threads']} threads"
        return f"{known['processor']}, {threads}"  # older records name the processor alone
    name = known.get("name") or record.run.get("hardware")
    return str(name) if name else None


def split_hash(record: Record) -> str | None:
    """SHA-256 of the split, as planned or, failing that, as found."""
    return record.run.get("split_sha256") or record.split.get("sha256")


def selected(record: Record, selection: Selection) -> Metrics | None:
    """What the Run's epoch of this selection scored; None for a choice of epoch where there was one to choose from."""
    return None if selection != "last" and evaluated_once(record) else record.metrics.get(selection)


def evaluated_once(record: Record) -> bool:
    """Whether the last epoch alone was evaluated, so that nothing was selected."""
    last = record.metrics.get("last")
    return last is not None and (record.run.get("recipe") or {}).get("evaluate_every", 1) >= last.epoch


@dataclass(frozen=True)
class Group:
    """The seeds of one experiment: train Runs on one split that differ in nothing but the seed."""

    records: tuple[Record, ...]
    """Finished and failed ones, ordered by seed."""
    settings: str
    """What sets this group apart from others with the same names; empty if nothing does."""

    @cached_property
    def names(self) -> dict[str, Any]:
        """The row's `NAMED` values and `settings`."""
        return {key: value_of(self.records[0], key) for key in NAMED} | {"settings": self.settings}

    @cached_property
    def done(self) -> tuple[Record, ...]:
        """The finished Runs."""
        return tuple(record for record in self.records if record.status == "done")

    def metrics(self, selection: Selection) -> list[Metrics]:
        """One per finished seed that has them."""
        return [found for record in self.done if (found := selected(record, selection))]


def groups(records: Iterable[Record]) -> list[Group]:
    """The train Runs, seeds together, in the order of their names."""
    together: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if job(record) == "train":
            together[_experiment(record)].append(record)
    alike: dict[str, list[list[Record]]] = defaultdict(list)
    for members in together.values():
        alike[_canonical([value_of(members[0], key) for key in NAMED])].append(members)
    found = []
    for _, namesakes in sorted(alike.items()):
        for members, settings in zip(namesakes, _distinctions([members[0] for members in namesakes]), strict=True):
            found.append(Group(tuple(sorted(members, key=_seed)), settings))
    return found


def labels(rows: pd.DataFrame) -> list[str]:
    """The shortest names that tell the rows apart: the method, and what tells it from rows of the same name."""
    names = rows["method"].map(str).map(one_line).tolist() if len(rows) else []
    for key in (*NAMED[3:], "settings"):
        values = rows[key].map(str).map(one_line).tolist() if len(rows) else []
        meanings: dict[str, set[str]] = defaultdict(set)
        for name, value in zip(names, values, strict=True):
            meanings[name].add(value)
        names = [
            f"{name} {value}" if len(meanings[name]) > 1 else name for name, value in zip(names, values, strict=True)
        ]
    return names


def _experiment(record: Record) -> str:
    return record.experiment or _canonical(
        {key: value for key, value in record.run.items() if key not in _NOT_SETTINGS}
    )


def _distinctions(records: Sequence[Record]) -> list[str]:
    """Per record the settings in which it differs from any of the others: `epochs=2`."""
    return distinctions([{key: value for key, value in one.run.items() if key not in _NOT_SETTINGS} for one in records])


def distinctions(several: Sequence[Mapping[str, Any]], letters: int = 20) -> list[str]:
    """Per mapping what it says of the keys on which they don't all agree, values cut to so many letters."""
    settings = [flat(dict(each)) for each in several]
    every = {key: None for each in settings for key in each}
    telling = [key for key in every if len({str(each.get(key)) for each in settings}) > 1]
    return [
        ", ".join(f"{key.rpartition('.')[2]}={str(each.get(key))[:letters]}" for key in telling) for each in settings
    ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _seed(record: Record) -> tuple[int, str]:
    seed = record.run.get("seed")
    return (seed if isinstance(seed, int) else 0, record.id)
