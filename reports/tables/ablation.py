"""Variants of one method side by side: what each adds or takes away, and what the paper says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from reports.comparisons import WHOLE, ComparisonGroup, arenas
from reports.contents import Table
from reports.groups import Group, groups, value_of
from reports.predictions import PredictionCache
from reports.tables import columns
from reports.tables.head_to_head import accuracies, sorted_frame
from reports.tables.paired import COMPARED, compared
from results.record import Record

DEFAULT = "the default"
"""Of an option that a variant leaves alone."""
_APART = ("seed", "suite", "variant", "options")
_NAMED = ("dataset", "protocol", "method", "backbone", "pretrained", "input")


def ablation(records: Iterable[Record], answers: PredictionCache) -> Table:
    """One row per variant of each method that has several on one dataset, split, backbone, size and protocol.

    The whole method comes first, the others by what is left of the accuracy. A difference to the whole method is over
    the seeds that both have, on the same test images, with its bootstrap interval and McNemar's p.
    """
    rows = [row for arena, variants in _families(records) for row in _rows(arena, variants, answers)]
    frame = sorted_frame(rows, ["dataset", "protocol", "method", "backbone", "input", "arena", "rank"])
    return Table("ablation", "Ablations", frame, columns.ABLATION_COLUMNS, columns.ABLATION_NOTE)


def steps(records: Iterable[Record], answers: PredictionCache) -> Table:
    """One row per two variants that differ in the value of one constructor option and in nothing else.

    A step leads towards the whole method, or, between two values that it has not, upwards; of several values only
    neighbours are compared. So the rows of a paper's table in which each adds a component to the one before are here,
    read off the Runs' own settings.
    """
    rows = [row for arena, variants in _families(records) for row in _step_rows(arena, variants, answers)]
    frame = sorted_frame(rows, ["dataset", "protocol", "method", "backbone", "input", "arena"])
    return Table("steps", "Ablations step by step", frame, columns.STEP_COLUMNS, columns.STEP_NOTE)


def _families(records: Iterable[Record]) -> Iterator[tuple[ComparisonGroup, list[Group]]]:
    """The variants of each method that has several in one arena."""
    for arena, members in arenas(groups(records)).items():
        by_method: dict[str, list[Group]] = defaultdict(list)
        for group in members:
            by_method[group.names["method"]].append(group)
        yield from ((arena, variants) for variants in by_method.values() if len(variants) > 1)


def _whole(variants: Iterable[Group]) -> Group | None:
    return next((group for group in variants if group.names["variant"] == WHOLE), None)


def _rows(arena: ComparisonGroup, variants: list[Group], answers: PredictionCache) -> Iterator[dict[str, Any]]:
    whole = _whole(variants)
    scored = [(accuracies(group, answers), group) for group in variants]
    scored.sort(key=lambda pair: (pair[1] is not whole, -(pair[0]["last_top1"] or 0.0)))
    for rank, (scores, group) in enumerate(scored):
        compares = {} if whole is None or group is whole else compared(answers.of(group), answers.of(whole))
        yield (
            dict.fromkeys(COMPARED)
            | compares
            | group.names
            | scores
            | {"rank": rank, "seeds": len(group.done), "published": _published(group)}
            | {"epochs": value_of(group.records[0], "epochs"), "arena": str(arena)}
        )


def _step_rows(arena: ComparisonGroup, variants: list[Group], answers: PredictionCache) -> Iterator[dict[str, Any]]:
    whole = _whole(variants)
    target = _options(whole) if whole else {}
    for option in sorted({key for group in variants for key in _options(group)}):
        alike: dict[str, list[Group]] = defaultdict(list)
        for group in variants:
            alike[_all_but(group, option)].append(group)
        for same in alike.values():
            valued = [(_options(group).get(option, DEFAULT), group) for group in same]
            valued.sort(key=lambda pair: (pair[0] == target.get(option, DEFAULT), _order(pair[0])))
            for (before, first), (after, second) in pairwise(valued):
                if before != after:
                    yield (
                        {key: first.names[key] for key in _NAMED}
                        | {"epochs": value_of(first.records[0], "epochs"), "arena": str(arena)}
                        | {"from": first.names["variant"], "to": second.names["variant"]}
                        | {"option": option, "before": _words(before), "after": _words(after)}
                        | compared(answers.of(second), answers.of(first))
                    )


def _options(group: Group) -> Mapping[str, Any]:
    return group.records[0].run.get("options") or {}


def _all_but(group: Group, option: str) -> str:
    """All that sets the group's Runs apart from others, but this option and what the variant is called."""
    run = group.records[0].run
    rest = {key: value for key, value in run.items() if key not in _APART}
    return repr(
        sorted((rest | {f"options.{key}": value for key, value in _options(group).items() if key != option}).items())
    )


def _order(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (float("-inf"), str(value))


def _words(value: Any) -> str:
    """An option's value as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def _published(group: Group) -> str | None:
    """Every published top-1 that these Runs answer, with the table it stands in."""
    rows = [row for record in group.records for row in record.published if row.get("value") is not None]
    return "; ".join(dict.fromkeys(f"{row['value']} ({row.get('table', 'no table named')})" for row in rows)) or None
