"""A sweep over batch sizes, doubled until inference, and training if there is any, stop getting faster or run out of
memory.

A plan contains every size that a sweep could reach; sizes beyond its end are skipped when their turn comes. So a sweep
can be interrupted, resumed and shared between processes like any other part of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard, get_args

from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.speed import Mode

BATCHES = tuple(2**power for power in range(15))
SEARCHED_AT = BATCHES[1]
"""The size whose Run searches for the largest batch: not 1, since batch norm can't train on a single value."""
GAIN = 0.05
"""Relative gain in images/s that counts as faster."""
PATIENCE = 2
"""Doublings without a gain before a mode ends: a single one may just be a size that suits the device badly."""


def member(run: AnyRun) -> TypeGuard[ProfileRun]:
    """Whether it belongs to a sweep."""
    return isinstance(run, ProfileRun) and run.in_sweep


def smaller(run: AnyRun) -> list[ProfileRun]:
    """The smaller sizes of its sweep; empty if it is the first, or belongs to no sweep."""
    if not member(run):
        return []
    return [run.model_copy(update={"batch_size": batch}) for batch in BATCHES if batch < run.batch_size]


def together(runs: Sequence[AnyRun]) -> list[tuple[AnyRun, ...]]:
    """The Runs one by one, but each sweep as one group, at the position of its first member."""
    groups: dict[str, tuple[AnyRun, ...]] = {}
    for run in runs:
        key = next(iter(smaller(run)), run).hash
        groups[key] = (*groups.get(key, ()), run)
    return list(groups.values())


def waits(run: AnyRun, open_runs: Iterable[AnyRun]) -> bool:
    """Whether a smaller size of its sweep, which may end the sweep, is still to be measured."""
    before = {one.id for one in smaller(run)}
    return bool(before) and any(member(other) and other.id in before for other in open_runs)


def end(run: AnyRun, find: Callable[[ProfileRun], Record | None]) -> str | None:
    """Why a size need not be measured, in words, judged by the records of the smaller sizes (`find` returns them).
    None: measure it."""
    found = (find(one) for one in smaller(run))
    records = [record for record in found if record is not None and record.status == "done"]
    reasons = [_end_of(mode, records) for mode in get_args(Mode) if _is_measured(mode, records)]
    ended = [reason for reason in reasons if reason is not None]
    return "; ".join(ended) if ended and len(ended) == len(reasons) else None


def _is_measured(mode: Mode, records: list[Record]) -> bool:
    """Whether the sweep has this mode, as far as its records tell: a method without training steps has no training.
    A single image tells nothing, since batch norm can't train on it."""
    telling = [record for record in records if isinstance(record.run, ProfileRun) and record.run.batch_size > 1]
    return not telling or any(mode in record.speed or mode in record.exceeded for record in telling)


def _end_of(mode: Mode, records: list[Record]) -> str | None:
    """Where a mode stops getting faster, in records of rising batch size; None: not yet."""
    best, batch, since = 0.0, 0, 0
    for record in records:
        if mode in record.exceeded:
            assert isinstance(record.run, ProfileRun)
            return f"{mode} does not fit into memory from batch {record.run.batch_size} on"
        if (speed := record.speed.get(mode)) is None:  # batch norm can't train on a single image
            continue
        if speed.images_per_s > (1 + GAIN) * best:
            best, batch, since = speed.images_per_s, speed.batch_size, 0
        else:
            since += 1
        if since == PATIENCE:
            return f"{mode} is no faster than at batch {batch}"
    return None
