"""What is left of a plan: which Runs are done, and which batch sizes need not be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.planning import batch_sweep
from results.record import Record
from results.settings import AnyRun
from results.store import REFERENCE, ResultStore

Find = Callable[[AnyRun], Record | None]
"""A record of the Run; None if there is none."""


@dataclass
class Progress:
    """The Runs of a plan, each in one list, in the order of the plan."""

    done: list[AnyRun] = field(default_factory=list)
    not_needed: list[AnyRun] = field(default_factory=list)
    """Batch sizes beyond the end of their sweep."""
    to_do: list[AnyRun] = field(default_factory=list)


def of(plan: Iterable[AnyRun], store: ResultStore) -> Progress:
    """By the records of a results folder, as carrying out the plan there would find them."""
    return by(plan, store.answer, partial(of_sweep, store))


def by(plan: Iterable[AnyRun], answer: Find, measured: Find) -> Progress:
    """By the `answer` to each Run, and by what was `measured` at the smaller sizes of its sweep."""
    found, known = Progress(), dict[str, Record | None]()

    def once(run: AnyRun) -> Record | None:  # each size is asked for by all larger ones
        name = run.id
        if name not in known:
            known[name] = measured(run)
        return known[name]

    for run in plan:
        if answer(run) is not None:
            found.done.append(run)
        elif batch_sweep.end(run, once) is not None:
            found.not_needed.append(run)
        else:
            found.to_do.append(run)
    return found


def of_sweep(store: ResultStore, run: AnyRun) -> Record | None:
    """The record by which a sweep is judged: committed ones count too."""
    return store.read(run.id) or ResultStore(store.root / REFERENCE).read(run.id)
