"""Figures of the trainings of one comparison: accuracy and loss over epochs and hours, calibration, and classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reports.cell_format import BUSY
from reports.comparisons import BASELINE, ComparisonGroup
from reports.evidence import Evidence
from reports.figures.drawing import Drawing
from reports.figures.kinds import calibration, confused, curves, per_class, training_time
from reports.figures.kinds.curves import ACCURACY, LOSS, Curve
from reports.figures.kinds.training_time import Spent
from reports.figures.looks import Experiment, Looks
from reports.figures.style import CURVES
from reports.groups import Group, group_labels
from reports.load import overloaded
from reports.names import Names
from reports.tables.cost.training_time import History, course, on_one_device
from results.record import Record
from results.values.text import counted


def of_histories(
    shared: ComparisonGroup, done: Sequence[Group], looks: Looks, names: Names, history: History
) -> Iterator[Drawing]:
    """Accuracies and losses over the epochs, of experiments with two points or more."""
    known = {group: [table for one in group.done if (table := history(one.id)) is not None] for group in done}
    name_of = group_labels(done, names)  # unique among all, not in one figure alone
    for kind, column, draw in (("curves", ACCURACY, curves.accuracy_curves), ("losses", LOSS, curves.loss_panels)):
        shown = [group for group in done if curves.points(known[group], column) > 1]
        for part, some in _in_figures(shown):
            own = looks.together([_experiment(group) for group in some])
            lines = [Curve(name_of[group], known[group], look) for group, look in zip(some, own, strict=True)]
            told = f"{curves.CAPTION[column]} {_seeds_of(group.done for group in some)}"
            yield Drawing(kind, f"{shared}{part}", draw, (lines,), told, shown=f"{shared.named(names)}{part}")


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
    for part, some in _in_figures(list(courses)):
        busy = {group for group in some if any(map(overloaded, there[group]))}
        own = looks.together([_experiment(group) for group in some])
        lines = [
            Spent(name_of[group] + BUSY * (group in busy), courses[group], look)
            for group, look in zip(some, own, strict=True)
        ]
        told = f"{training_time.CAPTION} {_seeds_of(there[group] for group in some)}"
        if left_out:
            told += f" Not shown, since their hours on this device are not known: {', '.join(left_out)}."
        draw, shown = training_time.accuracy_over_time, f"{shared.named(evidence.names)}{part}"
        yield Drawing("training_time", f"{shared}{part}", draw, (lines, unit), told, bool(busy), shown)


def of_calibration(
    shared: ComparisonGroup, done: Sequence[Group], looks: Looks, evidence: Evidence
) -> Iterator[Drawing]:
    """Of the experiments whose predictions are stored."""
    name_of, of = group_labels(done, evidence.names), evidence.predictions.of
    seeds = {group: [(run.confidence, run.right) for run in of(group).by_seed.values()] for group in done}
    for part, some in _in_figures([group for group in done if seeds[group]]):
        own = looks.together([_experiment(group) for group in some])
        arguments = ([(name_of[group], seeds[group]) for group in some], own)
        told, shown = (
            f"{calibration.CAPTION} {_seeds_of(group.done for group in some)}",
            f"{shared.named(evidence.names)}{part}",
        )
        yield Drawing("calibration", f"{shared}{part}", calibration.reliability, arguments, told, shown=shown)


def of_classes(shared: ComparisonGroup, whole: Sequence[Group], evidence: Evidence) -> Iterator[Drawing]:
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
    pairs, shown = confused.confusions(found, class_names), f"{names[best]}, {comparison}"
    told = f"{confused.CAPTION} {_seeds_of([best.done])}"
    yield Drawing("confused", f"{ids[best]}, {shared}", confused.most_confused, (pairs,), told, shown=shown)
    others = [pair for pair in known[1:] if pair[1].images is found.images and set(pair[1].seeds) & set(found.seeds)]
    # The sort is stable, so without a baseline the next in accuracy comes first.
    others.sort(key=lambda pair: pair[0].run.method != BASELINE)
    if others:
        second, other = others[0]
        seeds = sorted(set(found.seeds) & set(other.seeds))
        difference = found.right(seeds).mean(axis=1) - other.right(seeds).mean(axis=1)
        methods, labels = (names[best], names[second]), found.by_seed[seeds[0]].labels
        arguments = (difference, labels, class_names, methods)
        told = (
            f"{per_class.balance(difference, labels, methods)} {per_class.CAPTION} {counted(len(seeds), 'seed')} each."
        )
        shown = f"{names[best]} minus {names[second]}, {comparison}"
        yield Drawing("per_class", str(shared), per_class.per_class_difference, arguments, told, shown=shown)


def _in_figures(shown: Sequence[Group]) -> Iterator[tuple[str, Sequence[Group]]]:
    """`CURVES` experiments in a figure, and which of several figures it is."""
    starts = range(0, len(shown), CURVES)
    for number, start in enumerate(starts, 1):
        yield f" ({number} of {len(starts)})" if len(starts) > 1 else "", shown[start : start + CURVES]


def _experiment(group: Group) -> Experiment:
    return group.run.method, group.run.variant


def _seeds_of(trainings: Iterable[Sequence[Record]]) -> str:
    """How many seeds each experiment has, in a sentence."""
    counts = list(map(len, trainings))
    few, many = min(counts), max(counts)
    return f"{counted(many, 'seed')} each." if few == many else f"{few} to {many} seeds each."
