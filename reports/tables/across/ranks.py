"""Which methods are more accurate over all datasets: their average ranks, and which of them are shown to differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports import cell_format
from reports.cell_format import SOURCES, Row
from reports.comparisons import ComparisonGroup, across_datasets, contestants
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import Group
from reports.rank_tests import RankTest, average_ranks, rank_test
from reports.statistics import over_seeds
from reports.tables.accuracies import HEADLINE
from results.identity import UNCHECKED
from results.settings import method_label

DATASETS, METHODS = 4, 3
"""The fewest that are ranked: fewer datasets can't show that methods differ, and two methods are a pair."""
Method = tuple[str, str, str]
"""Method, variant, and what distinguishes it from others of its name; mostly empty."""
Results = Mapping[Method, Mapping[str, Group]]
"""Method -> dataset -> the experiment with a result there."""


@dataclass(frozen=True)
class Ranking:
    """Methods that each have a result on each of the datasets, the best average rank first."""

    shared: ComparisonGroup
    methods: Sequence[Method]
    datasets: Sequence[str]
    accuracies: NDArray[np.float64]
    """Last-epoch top-1 in percent, mean over seeds, `(N datasets, K methods)`."""
    test: RankTest
    """In the order of `methods`."""
    results: Results
    """Also of the methods that are not ranked."""

    @property
    def lacking(self) -> dict[Method, list[str]]:
        """The methods that are not ranked, and the datasets on which each has no result."""
        return {
            method: [name for name in self.datasets if name not in found]
            for method, found in self.results.items()
            if method not in self.methods
        }


def rankings(evidence: Evidence) -> Iterator[Ranking]:
    """One wherever `METHODS` whole methods met on `DATASETS` datasets or more by the same recipe and backbone."""
    for shared, found in across_datasets(evidence.comparisons).items():
        results = _results(found)
        methods, datasets = _complete(results)
        if len(methods) < METHODS or len(datasets) < DATASETS:
            continue
        accuracies = np.array([[_accuracy(results[method][name]) for method in methods] for name in datasets])
        order = np.argsort(average_ranks(accuracies), kind="stable")
        ranked = accuracies[:, order]
        yield Ranking(shared, [methods[place] for place in order], datasets, ranked, rank_test(ranked), results)


def ranks(evidence: Evidence) -> Table:
    """One row per method of a ranking; those that lack a dataset stand below without a rank, and with the reason."""
    rows = [row for ranking in rankings(evidence) for row in _rows(ranking)]
    return Table("ranks", "Average ranks over datasets", rows, COLUMNS, NOTE, split=("arena",))


def _results(found: Mapping[ComparisonGroup, Sequence[Group]]) -> dict[Method, dict[str, Group]]:
    """Each dataset counts once, with the most methods: not on several splits, nor at several levels of its classes."""
    results: dict[Method, dict[str, Group]] = {}
    seen: set[str] = set()
    finished = {
        one: [each for each in contestants(members) if each.metrics(HEADLINE)] for one, members in found.items()
    }
    for one, members in sorted(finished.items(), key=lambda pair: (-len(pair[1]), pair[0].dataset)):
        same = {one.dataset, one.images} - {UNCHECKED}
        if same & seen:
            continue
        seen |= same
        names = [(group.run.method, group.run.variant) for group in members]
        for name, group in zip(names, members, strict=True):
            settings = group.settings if names.count(name) > 1 else ""
            results.setdefault((*name, settings), {})[one.dataset] = group
    return results


def _complete(results: Results) -> tuple[list[Method], list[str]]:
    """The methods and datasets, of which every method has a result on every dataset, with the most results."""
    blocks = [
        ([method for method, found in results.items() if datasets <= found.keys()], sorted(datasets))
        for datasets in {frozenset(found) for found in results.values()}
        if len(datasets) >= DATASETS
    ]
    methods, names = max(blocks, key=lambda block: (len(block[0]) * len(block[1]), block), default=([], []))
    return sorted(methods), names


def _accuracy(group: Group) -> float:
    mean = over_seeds([100 * metrics.top1 for metrics in group.metrics(HEADLINE)]).mean
    assert mean is not None
    return round(mean, 9)  # so that equal accuracies are equal


def _rows(ranking: Ranking) -> Iterator[Row]:
    shared, test = ranking.shared, ranking.test
    place = {key: getattr(shared, key) for key in ("protocol", "backbone", "input", "epochs")} | {"arena": str(shared)}
    place |= {"datasets": len(ranking.datasets), "ranked_on": ", ".join(ranking.datasets)}
    place |= {"p_friedman": test.p, "pairs_by": test.pairs, "critical_difference": test.critical}
    for row, method in enumerate(ranking.methods):
        open_to = [
            method_name(other) for other, apart in zip(ranking.methods, test.apart[row], strict=True) if not apart
        ]
        groups = [ranking.results[method][dataset] for dataset in ranking.datasets]
        yield place | {
            SOURCES: tuple(group.ids for group in groups),
            "method": method_name(method),
            "average_rank": float(test.average[row]),
            "mean_top1": float(ranking.accuracies[:, row].mean()),
            "alike": ", ".join(one for one in open_to if one != method_name(method)),
            "reason": None,
        }
    for method, lacking in ranking.lacking.items():
        yield (
            place
            | dict.fromkeys(("p_friedman", "average_rank", "mean_top1", "alike"))
            | {
                SOURCES: tuple(group.ids for group in ranking.results[method].values()),
                "method": method_name(method),
                "reason": f"no result on {', '.join(lacking)}",
            }
        )


def method_name(method: Method) -> str:
    """`sef`, `sef:released`, and `sef lr=0.01` beside others of its name."""
    return f"{method_label(*method[:2])} {method[2]}".strip()


COLUMNS = (
    cell_format.words("method", compact=True),
    cell_format.headline(cell_format.number("average_rank", "average rank", 2, compact=True)),
    cell_format.number("mean_top1", "mean top-1, %", 1),
    cell_format.words("alike", "not shown to differ from", compact=True),
    cell_format.probability("p_friedman", "p Friedman", compact=True),
    cell_format.text("pairs_by", "pairs by"),
    cell_format.number("critical_difference", "critical difference", 2),
    cell_format.size("datasets", "datasets", compact=True),
    cell_format.text("ranked_on", "ranked on"),
)
NOTE = (
    "Rank of each method's last-epoch top-1 (mean over seeds) on each dataset, 1 for the best, averaged over the "
    f"datasets on which all of these methods have results, from {DATASETS} on (Demšar 2006). p Friedman, by "
    "permutations, asks whether any methods differ; only if it is below 5 % are pairs tested. Pairs are tested by "
    "Wilcoxon's signed ranks with Holm's correction, or, where there are so few datasets that this can't find a "
    "difference at 5 % (on four its smallest p is 0.125), by Nemenyi's critical difference of ranks. Not shown to "
    "differ is not a tie."
)
