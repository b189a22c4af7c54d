"""What lies in a results folder beside the answers to a plan, and concerns it: told in a line for each kind.

Records from before images were checked answer a plan and are counted. Records and interrupted trainings of the same
Runs on other images, class names, splits or weights answer nothing, and the difference is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.training.checkpoints import checkpoint
from results import identity
from results.errors import ResultsError
from results.record import Record
from results.settings import AnyRun, Run, flat
from results.store import REFERENCE, ResultStore
from results.values.text import counted

DATA = {
    "images_sha256": "images",
    "classes_sha256": "class names",
    "split_sha256": "split",
    "weights_sha256": "weights",
    "second_weights": "weights of the second network",
}
"""Settings that say what a Run rests on -> the same in words."""


class Difference(NamedTuple):
    """One of `DATA` that an earlier Run and a planned one don't share."""

    name: str
    """In words."""
    then: str
    """The beginning of its hash, as `now`."""
    now: str


class Other(NamedTuple):
    """What distinguishes an earlier Run from a planned one."""

    finished: bool
    task: str
    differences: tuple[Difference, ...]

    def told(self, count: int) -> str:
        """A line about so many of them."""
        names = " and ".join(one.name for one in self.differences)
        hashes = "; ".join(f"{one.name} {one.then} then, {one.now} now" for one in self.differences)
        kept = "not reused" if self.finished else "not continued"
        runs = counted(count, f"{'finished' if self.finished else 'interrupted'} Run")
        return f"{kept}, but kept: {runs} with other {names} ({self.task}: {hashes})"


def notes(plan: Iterable[AnyRun], store: ResultStore, committed: bool) -> list[str]:
    """The lines about the results in `store`, and with `committed` about those in `reference/` too."""
    stores = [store, ResultStore(store.root / REFERENCE)] if committed else [store]
    runs = [run for run in plan if isinstance(run, Run)]
    answers = {run.id: _answer(run, stores) for run in runs}
    open_runs = [run for run in runs if answers[run.id] is None]
    others = Counter(other for one in stores for other in _others(open_runs, one))
    return [*_unchecked(answers.values()), *(other.told(count) for other, count in others.items())]


def _answer(run: Run, stores: Sequence[ResultStore]) -> Record | None:
    return next((record for store in stores if (record := store.answer(run)) is not None), None)


def _unchecked(answers: Iterable[Record | None]) -> list[str]:
    count = sum(record is not None and identity.predates_check(record.run) for record in answers)
    if not count:
        return []
    done = "1 Run that is done predates" if count == 1 else f"{count} Runs that are done predate"
    return [f"{done} the check of images and class names: nobody knows whether the images were today's"]


def _others(runs: Iterable[Run], store: ResultStore) -> Iterator[Other]:
    """What is stored of the same Runs with other `DATA`. Only folders whose names say so are read."""
    namesakes: dict[str, list[str]] = defaultdict(list)
    for folder in store.root.iterdir() if store.root.is_dir() else ():
        namesakes[_readable(folder.name)].append(folder.name)
    for run in runs:
        for name in sorted(namesakes[_readable(run.id)]):
            if name == run.id or (earlier := _settings(store, name)) is None:
                continue
            finished, settings = earlier
            if differences := _differences(settings, run.settings):
                yield Other(finished, run.task, differences)


def _readable(run_id: str) -> str:
    """An id without the digits of the hash."""
    return run_id.rpartition("-")[0]


def _settings(store: ResultStore, name: str) -> tuple[bool, dict[str, Any]] | None:
    """Whether a training is finished, and its settings; None for a failed one and what can't be read."""
    try:
        record = store.read(name)
    except ResultsError:  # reading the records tells it
        return None
    if record is None:
        settings = checkpoint.settings_in(store.root / name)
        return None if settings is None else (False, settings)
    if record.status != "done" or not record.current:
        return None
    names = record.split.get("class_names")
    known = {"classes_sha256": identity.hash_of_classes(names)} if isinstance(names, list) else {}
    return True, known | record.run.settings


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Of `DATA`; none if anything else differs too."""
    before, after = flat(dict(then)), flat(dict(now))
    differing = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    kind_of = {key: key.partition(".")[0] for key in differing}
    if not set(kind_of.values()) <= DATA.keys():
        return ()
    ordered = sorted(differing, key=lambda key: (list(DATA).index(kind_of[key]), key))
    return tuple(
        Difference(DATA[kind_of[key]], identity.short(before.get(key)), identity.short(after.get(key)))
        for key in ordered
    )
