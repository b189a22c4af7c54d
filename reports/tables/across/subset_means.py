"""Datasets that are trained and scored subset by subset: the accuracy on each, and their mean, which papers report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.comparisons import comparison_groups
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import Group, groups, selected
from reports.tables.accuracies import HEADLINE, NAMES, estimate
from results.identity import CHECKED
from results.record import SELECTIONS, Record, Selection
from results.settings import Run

Subset = Mapping[str, Any]
"""The dataset options that make it."""


def averages(evidence: Evidence) -> Table:
    """One row per experiment on such a dataset: top-1 on each subset and the mean over them.

    Runs of one experiment differ only in the subset and the seed. Each seed's accuracies are averaged over the
    subsets, so only seeds that all subsets have count; if there are none, `reason` says what is missing.
    """
    subsets_of: dict[str, Sequence[Subset]] = {
        record.run.dataset: record.split["subsets"]
        for record in evidence.records
        if isinstance(record.run, Run) and record.split.get("subsets")
    }
    subset_of: dict[str, Subset] = {}
    wholes: list[Record] = []
    for record in evidence.records:
        if isinstance(record.run, Run) and (subset := _subset(record.run, subsets_of.get(record.run.dataset, ()))):
            subset_of[record.id] = subset
            wholes.append(_without(record, record.run, subset))
    comparisons = comparison_groups(groups(wholes))
    rows = [
        {**_row(whole, subset_of, subsets_of[whole.run.dataset]), "arena": str(shared)}
        for shared, members in comparisons.items()
        for whole in members
    ]
    labels = dict.fromkeys(_label(subset) for subsets in subsets_of.values() for subset in subsets)
    accuracies = [cell_format.estimate(_column(label), f"{label}, %", compact=True) for label in labels]
    empty = {name: None for label in labels for name in estimate(_column(label), [])}
    rows = sorted_rows([empty | row for row in rows], ["dataset", "protocol", "arena", "last_top1"], ["last_top1"])
    headings = {str(shared): str(shared.named(evidence.names)) for shared in comparisons}
    columns = (*NAMES, _EPOCHS, *_MEANS, *accuracies, *_SELECTED)
    return Table("averages", "Averages over subsets", rows, columns, NOTE, ("arena",), headings)


def _subset(run: Run, subsets: Sequence[Subset]) -> Subset | None:
    return next((one for one in subsets if one.items() <= run.dataset_options.items()), None)


def _without(record: Record, run: Run, subset: Subset) -> Record:
    """The record as if the dataset were one: nothing in its settings names the subset."""
    options = {key: value for key, value in run.dataset_options.items() if key not in subset}
    whole = run.model_copy(update={"split_sha256": "", **dict.fromkeys(CHECKED), "dataset_options": options})
    same = {"hash": whole.hash, "experiment": whole.experiment}
    if not record.current:
        same = {key: f"{value} by other rules" for key, value in same.items()}
    split = record.split | {name: getattr(run, name) for name in CHECKED}
    return record.model_copy(update={"run": whole, "split": split, **same})


def _row(whole: Group, subset_of: Mapping[str, Subset], subsets: Sequence[Subset]) -> dict[str, Any]:
    members = {_label(one): [record for record in whole.done if subset_of[record.id] == one] for one in subsets}
    by_seed = [{record.run.replicate: record for record in several} for several in members.values()]
    reason = _lacking(members)
    seeds = [] if reason else sorted(set.intersection(*(set(several) for several in by_seed)))
    row: dict[str, Any] = whole.row | {"seeds": len(seeds), "runs": " ".join(whole.ids)}
    row["epochs"] = whole.epochs
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
    for what, key in (("splits", "sha256"), ("images", "images_sha256"), ("class names", "classes_sha256")):
        mixed = [label for label, several in members.items() if len({record.split[key] for record in several}) > 1]
        if mixed:
            return f"Runs on different {what} of {', '.join(mixed)}"
    return None


def _label(subset: Subset) -> str:
    return " ".join(str(value) for value in subset.values())


def _column(label: str) -> str:
    return f"{label}_top1"


_EPOCHS = cell_format.size("epochs", "epochs", compact=True)
_MEANS = (
    cell_format.headline(cell_format.estimate("last_top1", "mean, %", compact=True)),
    cell_format.explained(
        cell_format.interval("last_top1", "95 % interval of the mean", compact=True),
        "for other seeds on these images (Student-t, marked “seeds”)",
    ),
    cell_format.number("seeds", "seeds", compact=True),
)
_SELECTED = (
    cell_format.estimate("validation_top1", "mean, validation-selected, %", compact=True),
    cell_format.estimate("best_on_test_top1", "mean, best on test, %", compact=True),
)
NOTE = (
    "Top-1 on each subset, last epoch, over the seeds it has. Mean over the subsets, with equal weight however many "
    "images they have, over the seeds that all of them have."
)
