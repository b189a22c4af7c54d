"""Figures over several datasets, over the hours of a device, and of published accuracies beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.cell_format import BUSY
from reports.comparisons import ComparisonGroup
from reports.contents import Table
from reports.evidence import Evidence
from reports.figures.drawing import Drawing
from reports.figures.kinds import published, ranks, training_time
from reports.figures.kinds.training_time import Spent
from reports.figures.looks import Looks
from reports.figures.trainings import experiment, in_figures, seeds_of
from reports.groups import Group, group_labels
from reports.load import overloaded
from reports.rank_tests import runs_alike
from reports.tables.cost.training_time import History, course, on_one_device
from reports.tables.ranks import name, rankings


def of_ranks(evidence: Evidence) -> Iterator[Drawing]:
    """A critical-difference diagram wherever methods are ranked."""
    names = evidence.names
    for one in rankings(evidence):
        told = ranks.caption(one, list(map(names.dataset, one.datasets)))
        labels = [names.label(name(method)) for method in one.methods]
        arguments = (labels, one.test.average.tolist(), runs_alike(one.test.apart), one.test.critical)
        yield Drawing("ranks", str(one.shared), ranks.rank_diagram, arguments, told, shown=str(one.shared.named(names)))


def of_training_time(
    shared: ComparisonGroup, whole: Sequence[Group], looks: Looks, evidence: Evidence, history: History
) -> Iterator[Drawing]:
    """Accuracy over hours, of the whole methods of a comparison that were trained on one device."""
    unit, there = on_one_device(whole)
    courses = {group: found for group, records in there.items() if (found := course(records, history))}
    if len(courses) < 2:
        return  # one alone says no more than its accuracies over the epochs
    name_of = group_labels(whole, evidence.names)
    left_out = [name_of[group] for group in whole if group not in courses]
    for part, some in in_figures(list(courses)):
        busy = {group for group in some if any(map(overloaded, there[group]))}
        own = looks.together([experiment(group) for group in some])
        lines = [
            Spent(name_of[group] + BUSY * (group in busy), courses[group], look)
            for group, look in zip(some, own, strict=True)
        ]
        told = f"{training_time.CAPTION} {seeds_of(some)}"
        told += (
            f" Not shown, since their hours on this device are not known: {', '.join(left_out)}." if left_out else ""
        )
        arguments, shown = (lines, unit), f"{shared.named(evidence.names)}{part}"
        draw = training_time.accuracy_over_time
        yield Drawing("training_time", f"{shared}{part}", draw, arguments, told, bool(busy), shown)


def of_published(paper: Table, looks: Looks, evidence: Evidence) -> Iterator[Drawing]:
    """Published accuracies beside ours, a figure for each dataset."""
    for dataset in dict.fromkeys(row["dataset"] for row in paper.rows):
        found = published.reproductions(paper.where(dataset=dataset).rows, evidence.names)
        shown = evidence.names.dataset(dataset)
        yield Drawing(
            "published", dataset, published.published_and_ours, (found, looks), published.CAPTION, shown=shown
        )
