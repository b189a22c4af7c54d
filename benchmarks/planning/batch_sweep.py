"""A sweep over batch sizes: doubled until the device is full, in both modes. What is measured decides where it ends.

A plan holds every size that a sweep could come to; those beyond its end are left out when their turn comes, so that a
sweep is interrupted, resumed and shared between processes like any other part of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard, get_args

from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.speed import Mode

BATCHES = tuple(2**power for power in range(15))
SEARCHED_AT = BATCHES[1]
"""Where the largest batch is searched: batch norm can't learn from one image of one position, so not at the first."""
GAIN = 0.05
"""Part by which a rate has to rise to count as rising."""
PATIENCE = 2
"""Doublings without such a rise after which none is expected: one alone may be of a size that the device dislikes."""


def member(run: AnyRun) -> TypeGuard[ProfileRun]:
    """Whether it is one of a sweep's sizes."""
    return isinstance(run, ProfileRun) and run.in_sweep


def smaller(run: AnyRun) -> list[ProfileRun]:
    """The sizes of its sweep that come before it; empty where there are none, or it is of no sweep."""
    if not member(run):
        return []
    return [run.model_copy(update={"batch_size": batch}) for batch in BATCHES if batch < run.batch_size]


def together(runs: Sequence[AnyRun]) -> list[tuple[AnyRun, ...]]:
    """The Runs one by one, but each sweep as a whole, where its first member stands."""
    groups: dict[str, tuple[AnyRun, ...]] = {}
    for run in runs:
        key = next(iter(smaller(run)), run).hash
        groups[key] = (*groups.get(key, ()), run)
    return list(groups.values())


def waits(run: AnyRun, open_runs: Iterable[AnyRun]) -> bool:
    """Whether a smaller size of its sweep is still to be measured, which may end it."""
    before = {one.id for one in smaller(run)}
    return bool(before) and any(member(other) and other.id in before for other in open_runs)


def end(run: AnyRun, find: Callable[[ProfileRun], Record | None]) -> str | None:
    """Why a member of a sweep need not be measured, in words: the smaller sizes, whose records `find` gives, show that
    the device is full, or that its memory is. None: it is to be measured, or of no sweep."""
    found = (find(one) for one in smaller(run))
    records = [record for record in found if record is not None and record.status == "done"]
    reasons = [_end_of(mode, records) for mode in get_args(Mode)]
    told = [reason for reason in reasons if reason is not None]
    return "; ".join(told) if len(told) == len(reasons) else None


def _end_of(mode: Mode, records: list[Record]) -> str | None:
    """Where a mode stops to become faster; None: not within these records, which rise in their batch size."""
    best, batch, since = 0.0, 0, 0
    for record in records:
        if mode in record.exceeded:
            return f"{mode} does not fit into memory from batch {record.run['batch_size']} on"
        if (speed := record.speed.get(mode)) is None:  # batch norm, of a single image
            continue
        if speed.images_per_s > (1 + GAIN) * best:
            best, batch, since = speed.images_per_s, speed.batch_size, 0
        else:
            since += 1
        if since == PATIENCE:
            return f"{mode} is no faster than at batch {batch}"
    return None
