"""Variants of one method side by side: what each adds or takes away, and what the paper says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from reports import columns
from reports.groups import Arena, Group, arenas, groups
from reports.paired import Predictions, answers_of, compared
from reports.tables import Table, accuracies, sorted_frame
from results.record import Record

WHOLE = "paper"
"""The variant that the others are measured against: the method as published."""


def ablation(records: Iterable[Record], predictions: Predictions) -> Table:
    """One row per variant of each method that has several on one dataset, split, backbone, size and protocol.

    The whole method comes first, the others by what is left of the accuracy. A difference to the whole method is over
    the seeds that both have, on the same test images, with its bootstrap interval and McNemar's p.
    """
    rows: list[dict[str, Any]] = []
    for arena, members in arenas(groups(records)).items():
        by_method: dict[str, list[Group]] = defaultdict(list)
        for group in members:
            by_method[group.names["method"]].append(group)
        for variants in by_method.values():
            if len(variants) > 1:
                rows += _rows(arena, variants, predictions)
    frame = sorted_frame(rows, ["dataset", "protocol", "method", "backbone", "input", "rank"])
    return Table("ablation", "Ablations", frame, columns.ABLATION_COLUMNS, columns.ABLATION_NOTE)


def _rows(arena: Arena, variants: list[Group], predictions: Predictions) -> Iterator[dict[str, Any]]:
    whole = next((group for group in variants if group.names["variant"] == WHOLE), None)
    against = answers_of(whole, predictions) if whole else {}
    scored = [(accuracies(group), group) for group in variants]
    scored.sort(key=lambda pair: (pair[1] is not whole, -(pair[0]["last_top1"] or 0.0)))
    for rank, (scores, group) in enumerate(scored):
        compares = {} if whole is None or group is whole else compared(answers_of(group, predictions), against)
        yield (
            dict.fromkeys(("difference", "difference_low", "difference_high", "p", "reason"))
            | compares
            | group.names
            | scores
            | {"rank": rank, "seeds": len(group.done), "epochs": arena.epochs, "published": _published(group)}
        )


def _published(group: Group) -> str | None:
    """Every published top-1 that these Runs answer, with the table it stands in."""
    rows = [row for record in group.records for row in record.published if row.get("value") is not None]
    return "; ".join(dict.fromkeys(f"{row['value']} ({row.get('table', 'no table named')})" for row in rows)) or None
