"""Which Runs of the reference results are missing, and in which order to run those.

They are written to `results/reference/planned.json`, so that reports can show them as missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.planning import batch_sweep
from benchmarks.planning.reference.experiments import ANY_GPU, Experiment
from results import identity
from results.errors import ResultsError
from results.publish import publish
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.store import ResultStore

COMMAND = "python run_all.py reproduce all --missing"
"""Runs what is missing."""


def missing(rows: Iterable[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The experiments with only their Runs that have no finished record; without experiments that have them all.

    Runs that await their data or weights are compared by the settings that are known (`results.identity.awaits`).
    """
    done = answered(known)
    return _with_some(replace(row, runs=tuple(_left(row.runs, done))) for row in rows)


def missing_here(rows: Sequence[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The same with the Runs that this machine would have to do: all repeats of a profile of which another has some."""
    left = {run.hash for run in unanswered([run for row in rows for run in row.runs], known)}
    return _with_some(replace(row, runs=tuple(run for run in row.runs if run.hash in left)) for row in rows)


def unanswered(runs: Sequence[AnyRun], known: Iterable[Record]) -> list[AnyRun]:
    """The Runs without a finished record. Batch sizes beyond the end of a finished sweep need none.

    Where another machine has only some repeats of a profile, this one's count: rates of two machines have no mean.
    """
    known = list(known)
    incomplete = {run.experiment for run in _left(runs, answered(known))}
    machines = {run.hardware for run in runs if isinstance(run, ProfileRun)}
    here = answered(record for record in known if _counts_on(machines, record.run))
    return [run for run in _left(runs, here) if run.experiment in incomplete]


def _counts_on(machines: Collection[str], run: AnyRun) -> bool:
    """Whether a finished Run answers one that is planned on these machines."""
    if not isinstance(run, ProfileRun) or run.hardware in machines:
        return True
    return ANY_GPU in machines and run.device == "cuda"


def _with_some(rows: Iterable[Experiment]) -> list[Experiment]:
    return [row for row in rows if row.runs or row.lacking]


def _left(runs: Iterable[AnyRun], done: Mapping[str, Record]) -> list[AnyRun]:
    left = (run for run in runs if answer(run, done) is None)
    return [run for run in left if batch_sweep.end(run, lambda smaller: done.get(key(smaller))) is None]


def answer(run: AnyRun, done: Mapping[str, Record]) -> Record | None:
    """Which of `answered` records answers a Run (`results.identity`)."""
    if identity.awaits(run):
        return identity.answer_to_awaiting(run, done.values())
    return identity.answer(run, lambda one: done.get(key(one)))


def answered(records: Iterable[Record]) -> dict[str, Record]:
    """Key -> record of each finished Run; without records of other rules.

    Of a profile, the repeats of one machine count: of the one that has most of them. This holds for each batch size of
    a sweep by itself.
    """
    finished = [record for record in records if record.status == "done" and record.current]
    repeats: dict[str, Counter[str]] = defaultdict(Counter)
    for record in finished:
        if isinstance(record.run, ProfileRun):
            repeats[_anywhere(record.run).experiment][record.run.hardware] += 1
    most = {experiment: max(sorted(counts), key=counts.__getitem__) for experiment, counts in repeats.items()}
    return {
        key(record.run): record
        for record in finished
        if not isinstance(record.run, ProfileRun) or record.run.hardware == most[_anywhere(record.run).experiment]
    }


def key(run: AnyRun) -> str:
    """Equal for Runs of the same question: a profile on any hardware of its kind of device counts."""
    return _anywhere(run).hash


def _anywhere(run: AnyRun) -> AnyRun:
    return run.model_copy(update={"hardware": ""}) if isinstance(run, ProfileRun) else run


def in_order(runs: Sequence[AnyRun]) -> list[AnyRun]:
    """The first seed of every experiment, then the second, and so on: each experiment soon has a value, and later its
    spread. Experiments keep their order."""
    places: dict[str, int] = {}
    for run in runs:
        places.setdefault(run.experiment, len(places))
    return sorted(runs, key=lambda run: (run.replicate, places[run.experiment]))


def planned_rows(rows: Iterable[Experiment]) -> list[dict[str, Any]]:
    """What is missing as plain values, without paths, since they are committed."""
    return [
        {
            "suite": row.suite,
            **row.names,
            "seeds": row.seeds,
            "why": f"needs {row.lacking}" if row.lacking else "needs a GPU" if row.gpu else "not run yet",
            "command": COMMAND,
        }
        for row in rows
    ]


def publish_all(rows: Sequence[Experiment], store: ResultStore) -> tuple[list[Path], list[str]]:
    """Copies every finished Run of the reference results to the committed ones, and records what is still missing. Of a
    profile, those of the machine that has most repeats, committed ones included.

    Returns what was written, and why other Runs were not: what is stored of them does not fit together.
    """
    done = answered(store.records())
    own = {record.id for record in store.own()}
    found = (answer(run, done) for row in rows for run in row.runs)
    paths, refused = [], list(store.left_out.values())
    for run_id in sorted(own & {record.id for record in found if record is not None}):
        try:
            paths.append(publish(store, run_id))
        except ResultsError as error:
            refused.append(str(error))
    return [*paths, store.plan(planned_rows(missing(rows, store.records())))], refused
