"""Datasets that are trained and scored subset by subset: the accuracy on each, and their mean, which papers report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.contents import Table
from reports.groups import Group, groups, selected
from reports.tables import columns
from reports.tables.head_to_head import HEADLINE, estimate, sorted_frame
from results.record import SELECTIONS, Record, Selection

Subset = Mapping[str, Any]
"""The dataset options that make it."""


def averages(records: Iterable[Record]) -> Table:
    """One row per experiment on such a dataset: top-1 on each subset and the mean over them.

    Runs belong to one experiment that differ in nothing but the subset and the seed. Each seed's accuracies are
    averaged over the subsets, so only seeds that all subsets have count; without any, `reason` says what is lacking.
    """
    records = list(records)
    known = {str(record.run["dataset"]): record.split["subsets"] for record in records if record.split.get("subsets")}
    on = {record.id: _subset_of(record, known.get(str(record.run.get("dataset")), ())) for record in records}
    wholes = groups(_without(record, subset) for record in records if (subset := on[record.id]) is not None)
    rows = [_row(whole, on, known[str(whole.records[0].run["dataset"])]) for whole in wholes]
    labels = dict.fromkeys(_label(subset) for subsets in known.values() for subset in subsets)
    accuracies = [cell_format.estimate(_column(label), f"{label}, %", compact=True) for label in labels]
    empty = {name: None for label in labels for name in estimate(_column(label), [])}
    frame = sorted_frame([empty | row for row in rows], ["dataset", "protocol", "last_top1"], ["last_top1"])
    shown = (*columns.AVERAGE_NAMES, *accuracies, *columns.AVERAGES)
    return Table("averages", "Averages over subsets", frame, shown, columns.AVERAGE_NOTE)


def _subset_of(record: Record, subsets: Sequence[Subset]) -> Subset | None:
    options = record.run.get("dataset_options") or {}
    return next((one for one in subsets if all(options.get(key) == value for key, value in one.items())), None)


def _without(record: Record, subset: Subset) -> Record:
    """The record as if the dataset were one: nothing in its settings tells the subset."""
    options = {key: value for key, value in record.run["dataset_options"].items() if key not in subset}
    run = {key: value for key, value in record.run.items() if key != "split_sha256"} | {"dataset_options": options}
    return record.model_copy(update={"run": run})


def _row(whole: Group, on: Mapping[str, Subset | None], subsets: Sequence[Subset]) -> dict[str, Any]:
    members = {_label(one): [record for record in whole.done if on[record.id] == one] for one in subsets}
    by_seed = [{record.run["seed"]: record for record in several} for several in members.values()]
    reason = _lacking(members)
    seeds = [] if reason else sorted(set.intersection(*(set(several) for several in by_seed)))
    row: dict[str, Any] = whole.names | {"seeds": len(seeds), "runs": " ".join(record.id for record in whole.records)}
    for label, several in members.items():
        row |= estimate(_column(label), list(_percents(several, HEADLINE)))
    for selection in SELECTIONS:
        scored = [list(_percents([several[seed] for several in by_seed], selection)) for seed in seeds]
        row |= estimate(f"{selection}_top1", [sum(one) / len(one) for one in scored if len(one) == len(subsets)])
    row["last_top1_over"] = cell_format.SEEDS_ALONE
    return row | {"reason": reason or (None if seeds else "no seed that all subsets have")}


def _percents(records: Iterable[Record], selection: Selection) -> Iterator[float]:
    """Top-1 of those that have it."""
    return (100 * found.top1 for record in records if (found := selected(record, selection)))


def _lacking(members: Mapping[str, Sequence[Record]]) -> str | None:
    """Why there is no mean, in words."""
    if none := [label for label, several in members.items() if not several]:
        return f"no finished Run on {', '.join(none)}"
    mixed = [label for label, several in members.items() if len({record.split["sha256"] for record in several}) > 1]
    return f"Runs on different splits of {', '.join(mixed)}" if mixed else None


def _label(subset: Subset) -> str:
    return " ".join(str(value) for value in subset.values())


def _column(label: str) -> str:
    return f"{label}_top1"
