"""Which Runs of the reference results are missing, and in which order to run those.

They are written to `results/reference/planned.json`, so that reports can show them as missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.planning import batch_sweep, left_to_do
from benchmarks.planning.reference.experiments import ANY_GPU, Experiment
from results import identity
from results.errors import ResultsError
from results.publish import publish
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.store import ResultStore

COMMAND = "python run_all.py reproduce all --missing"
"""Runs what is missing."""


def missing(rows: Sequence[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The experiments with only their Runs that have no finished record; without experiments that have them all.

    Runs that await their data or weights are compared by the settings that are known (`results.identity.awaits`).
    Of a profile, the Runs of one machine count, since rates of two machines have no mean: of the one that lacks least.
    """
    done = Done(known)
    return _with_only(rows, lambda runs: done.left(runs, done.most_complete(runs)))


def missing_here(rows: Sequence[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The same with the Runs that this machine has to do (`unanswered`)."""
    return _with_only(rows, Done(known).left_here)


def unanswered(runs: Sequence[AnyRun], known: Iterable[Record]) -> list[AnyRun]:
    """The Runs that this machine has to do. Batch sizes beyond the end of a finished sweep need none.

    A profile that one machine has measured whole is done. Of one that none has, this machine's own Runs count.
    """
    left = _hashes(runs, Done(known).left_here)
    return [run for run in runs if run.hash in left]


class Done:
    """Finished records; without records of other rules."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._trainings: dict[str, Record] = {}
        self._profiles: dict[str, dict[str, Record]] = defaultdict(dict)
        """Machine -> key -> record."""
        for record in records:
            if record.status == "done" and record.current:
                run = record.run
                place = self._profiles[run.hardware] if isinstance(run, ProfileRun) else self._trainings
                place[key(run)] = record

    def most_complete(self, runs: Sequence[AnyRun]) -> Mapping[str, Record]:
        """Key -> record: of trainings all; of one measurement, those of the machine that lacks least of its Runs."""
        if not isinstance(runs[0], ProfileRun):
            return self._trainings
        machines = [self._profiles[name] for name in sorted(self._profiles)]
        return min(machines, key=lambda found: len(self.left(runs, found)), default={})

    def left_here(self, runs: Sequence[AnyRun]) -> list[AnyRun]:
        """Which Runs of one measurement, or of trainings, this machine has to do."""
        left = self.left(runs, self.most_complete(runs))
        if not left or not isinstance(left[0], ProfileRun) or left[0].hardware == ANY_GPU:
            return left
        return self.left(runs, self._profiles.get(left[0].hardware, {}))

    @staticmethod
    def left(runs: Iterable[AnyRun], found: Mapping[str, Record]) -> list[AnyRun]:
        """The Runs that `found` does not answer, and that are needed."""
        return left_to_do.by(runs, lambda run: answer(run, found), lambda smaller: found.get(key(smaller))).to_do


def answer(run: AnyRun, found: Mapping[str, Record]) -> Record | None:
    """Which record answers a Run (`results.identity`)."""
    if identity.awaits(run):
        return identity.answer_to_awaiting(run, found.values())
    return identity.answer(run, lambda one: found.get(key(one)))


def key(run: AnyRun) -> str:
    """Equal for Runs of the same question: a profile on any hardware of its kind of device."""
    return (run.model_copy(update={"hardware": ""}) if isinstance(run, ProfileRun) else run).hash


def _measurements(runs: Iterable[AnyRun]) -> list[list[AnyRun]]:
    """The repeats of each profile together, all sizes of a sweep among them; and the trainings."""
    found: dict[str, list[AnyRun]] = defaultdict(list)
    for run in runs:
        first = next(iter(batch_sweep.smaller(run)), run)
        found[first.experiment if isinstance(run, ProfileRun) else ""].append(run)
    return list(found.values())


def _hashes(runs: Iterable[AnyRun], choose: Callable[[Sequence[AnyRun]], Iterable[AnyRun]]) -> set[str]:
    """Of the Runs that are chosen of each measurement."""
    return {run.hash for together in _measurements(runs) for run in choose(together)}


def _with_only(rows: Sequence[Experiment], choose: Callable[[Sequence[AnyRun]], Iterable[AnyRun]]) -> list[Experiment]:
    """The rows with the Runs that are chosen; without rows that have none and lack nothing."""
    left = _hashes((run for row in rows for run in row.runs), choose)
    narrowed = (replace(row, runs=tuple(run for run in row.runs if run.hash in left)) for row in rows)
    return [row for row in narrowed if row.runs or row.lacking]


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
    profile, those of the machine that lacks least, committed ones included.

    Returns what was written, and why other Runs were not: what is stored of them does not fit together.
    """
    done = Done(store.records())
    own = {record.id for record in store.own()}
    paths, refused = [], list(store.left_out.values())
    found = set()
    for runs in _measurements(run for row in rows for run in row.runs):
        records = done.most_complete(runs)
        found |= {record.id for run in runs if (record := answer(run, records)) is not None}
    for run_id in sorted(own & found):
        try:
            paths.append(publish(store, run_id))
        except ResultsError as error:
            refused.append(str(error))
    return [*paths, store.plan(planned_rows(missing(rows, store.records())))], refused
