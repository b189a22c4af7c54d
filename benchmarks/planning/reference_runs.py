"""The project's reference results: their experiments, which Runs of them are missing, and in which order to run those.

They are the rows of every suite with a `numbers` position, and every published row by its paper's recipe. Missing ones
are written to `results/reference/planned.json`, so that reports can show them as missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import methods
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.planning import batch_sweep, expand, headline, method_files, shopping, suite, suite_builders
from benchmarks.planning.overrides import Changes, fits, matches, none_fits
from benchmarks.planning.suite import Profiling, Suite, Training
from results import identity
from results.errors import ResultsError
from results.publish import publish as publish_one
from results.record import Record
from results.settings import AnyRun, ProfileRun, Run, method_label
from results.store import ResultStore

ALL = "all"
"""In place of a method: all reference results."""
COMMAND = "python run_all.py reproduce all --missing"
"""Runs what is missing."""
ANY_GPU = "any GPU"
"""Hardware of a GPU profile that is planned on a machine without one."""


@dataclass(frozen=True)
class Experiment:
    """One row of the reference results: Runs that differ only in their seed, or repeat."""

    suite: str
    names: dict[str, Any]
    """Cells of its table row: dataset, protocol, method, backbone, px, published …"""
    runs: tuple[AnyRun, ...]
    """In the order of their seeds; empty if they can't be planned because data or weights are missing."""
    gpu: bool
    """Whether it is left to machines with a GPU."""
    lacking: str | None = None
    """The data or weights that are not here, without paths."""
    items: tuple[shopping.Item, ...] = ()
    """Those of them that can be got."""

    @property
    def seeds(self) -> list[int]:
        """Of a training, or the repeats of a profile."""
        return [run.replicate for run in self.runs]

    def needs(self, device: str) -> str | None:
        """What it needs that a machine computing on `device` lacks, in words; None if nothing."""
        return self.lacking or ("a GPU" if self.gpu and device != "cuda" else None)


def experiments(environment: Environment, changes: Changes) -> list[Experiment]:
    """All of them in the order of the suites, then the papers' recipes; `--only` and `--seeds` narrow them."""
    suites = [(name, suite.load(name)) for name in suite.available()]
    chosen = sorted((one for one in suites if one[1].numbers is not None), key=lambda one: one[1].numbers or 0)
    found = [row for name, one in chosen for row in _of_suite(name, one, environment, changes.seeds)]
    found += [row for name in methods.available() for row in _of_paper(name, environment, changes.seeds)]
    if not changes.only:
        return found
    left = [kept for row in found if (kept := _narrowed(row, changes.only)) is not None]
    if not left:
        raise UserError(none_fits((one for row in found for one in _settings(row)), changes.only))
    return left


def _narrowed(row: Experiment, only: Mapping[str, str]) -> Experiment | None:
    """The row with its matching Runs, or None; a row without Runs is matched by its names."""
    if not row.runs:
        return row if any(fits(one, only) for one in _settings(row)) else None
    runs = tuple(run for run in row.runs if matches(run, only))
    return replace(row, runs=runs) if runs else None


def _settings(row: Experiment) -> Iterator[dict[str, Any]]:
    """Plain values of each Run; of a row without Runs, of each method, dataset and backbone in its names."""
    if row.runs:
        yield from (run.model_dump(mode="json") for run in row.runs)
        return
    lists = (str(row.names.get(name) or "").split(", ") for name in ("method", "dataset", "backbone"))
    for label, data, backbone in product(*lists):
        method, _, variant = label.partition(":")
        values = {
            "job": row.names["job"],
            "protocol": row.names.get("protocol"),
            "method": method,
            "variant": variant or "paper",
            "dataset": data.partition(":")[0],
            "backbone": backbone,
            "recipe": {"image_size": row.names["px"]} if row.names.get("px") else {},
        }
        yield {key: value for key, value in values.items() if value}


def missing(rows: Iterable[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The experiments with only their Runs that have no finished record; without experiments that have them all.

    Runs that await their data or weights are compared by the settings that are known (`results.identity.awaits`).
    """
    done = answered(known)
    return _with_some(replace(row, runs=tuple(_left(row.runs, done))) for row in rows)


def missing_here(rows: Sequence[Experiment], known: Iterable[Record]) -> list[Experiment]:
    """The same with all that this machine has to run for them (`unanswered`)."""
    left = {run.hash for run in unanswered([run for row in rows for run in row.runs], known)}
    return _with_some(replace(row, runs=tuple(run for run in row.runs if run.hash in left)) for row in rows)


def unanswered(runs: Sequence[AnyRun], known: Iterable[Record]) -> list[AnyRun]:
    """The Runs without a finished record. Batch sizes beyond the end of a finished sweep need none.

    Where another machine has only some repeats of a profile, all are left: rates of two machines have no mean.
    """
    finished = _finished(known)
    done, own = answered(finished), {record.run.hash for record in finished}
    left = {run.hash for run in _left(runs, done)}
    begun = {run.experiment for run in runs if run.hash in left and _is_of_this_machine(run)}
    return [run for run in runs if (run.hash in left or run.experiment in begun) and run.hash not in own]


def _is_of_this_machine(run: AnyRun) -> bool:
    return isinstance(run, ProfileRun) and run.hardware != ANY_GPU


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

    The repeats of a profile count together where they are of one machine: of several, the one that has most of them.
    """
    finished = _finished(records)
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


def _finished(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.status == "done" and record.current]


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


def planned(rows: Iterable[Experiment]) -> list[dict[str, Any]]:
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


def publish(rows: Sequence[Experiment], store: ResultStore) -> tuple[list[Path], list[str]]:
    """Copies every finished Run of the reference results to the committed ones, and records what is still missing.

    Returns what was written, and why other Runs were not: what is stored of them does not fit together.
    """
    done = answered(store.own())
    found = (answer(run, done) for row in rows for run in row.runs)
    paths, refused = [], list(store.left_out.values())
    for run_id in sorted({record.id for record in found if record is not None}):
        try:
            paths.append(publish_one(store, run_id))
        except ResultsError as error:
            refused.append(str(error))
    return [*paths, store.plan(planned(missing(rows, store.records())))], refused


def _of_suite(name: str, whole: Suite, environment: Environment, seeds: int | None) -> Iterator[Experiment]:
    for training in whole.train:
        yield from _expanded(name, Suite(about=whole.about, train=[training]), training, environment, seeds)
    for profiling in whole.profile:
        yield from _expanded(name, Suite(about=whole.about, profile=[profiling]), profiling, environment, seeds)


def _expanded(
    name: str, one: Suite, entry: Training | Profiling, environment: Environment, seeds: int | None
) -> Iterator[Experiment]:
    try:
        runs = expand.expand(one, environment, Changes(seeds=seeds))
    except REFUSED:  # its message would name paths of this machine
        chosen = entry.datasets if isinstance(entry, Training) else []
        own = [item for choice in chosen for item in shopping.of_own_images(choice, environment)]
        yield replace(_without_runs(name, entry), items=(*own, *shopping.of_suite(one, environment)))
        return
    together: dict[str, list[AnyRun]] = {}
    for run in runs:
        together.setdefault(run.experiment, []).append(run)
    for members in together.values():
        elsewhere = entry.gpu and environment.device != "cuda"
        its_runs = tuple(_on_any_gpu(run) if elsewhere else run for run in members)
        yield Experiment(name, names_of(its_runs[0]), its_runs, entry.gpu)


def _without_runs(name: str, entry: Training | Profiling) -> Experiment:
    if isinstance(entry, Training):
        job, protocol, datasets = "train", entry.protocol, entry.datasets
    else:
        job, protocol, datasets = "profile", None, [entry.dataset] if entry.dataset else []
    weights = [one.name if one.weights == "auto" else one.weights for one in entry.backbones]
    needs = ", ".join([*(one.name for one in datasets), *(f"weights of {one}" for one in weights)])
    names = {
        "job": job,
        "dataset": ", ".join(one.name for one in datasets) or None,
        "protocol": protocol,
        "method": ", ".join(entry.methods),
        "backbone": ", ".join(one.network for one in entry.backbones) or None,
    }
    return Experiment(name, names, (), entry.gpu, needs)


def _of_paper(method: str, environment: Environment, seeds: int | None) -> Iterator[Experiment]:
    """Every published row that a variant reproduces, by the paper's recipe."""
    with_rows = {row.answered_by.variant for row in method_files.published(method) if row.answered_by}
    variants = [variant for variant in method_files.method_file(method).variants if variant in with_rows]
    if not variants:
        return
    for target in suite_builders.targets(method, environment, variants=variants):
        published = headline.value(target.rows)
        if target.lacking is None:
            (entry,) = suite_builders.reproduce(method, [target], seeds or 3).train
            for row in _expanded(
                "papers", Suite(about="", train=[entry]), entry.model_copy(update={"gpu": True}), environment, seeds
            ):
                yield replace(row, names=row.names | {"published": published})
            continue
        needs = [target.dataset] * (target.dataset_fault is not None)
        needs += [f"weights of {target.started_from}"] * (target.weights_fault is not None)
        names = {
            "job": "train",
            "dataset": target.dataset,
            "protocol": "paper",
            "method": method_label(method, target.variant),
            "backbone": target.backbone,
            "px": target.recipe.image_size,
            "epochs": expand.epochs_of(method, method_files.options_of(method, target.variant), target.recipe),
            "published": published,
        }
        yield Experiment("papers", names, (), True, ", ".join(needs), target.items)


def names_of(run: AnyRun) -> dict[str, Any]:
    """What names the Runs of an experiment in a table: all of them have it in common."""
    if isinstance(run, ProfileRun):
        names: dict[str, Any] = {"dataset": None, "protocol": None}
        size: dict[str, Any] = {
            "px": run.image_size,
            "batch": run.batch_size,
            "precision": run.precision,
            "ways": run.ways,
        }
    else:
        names = {"dataset": run.task, "protocol": run.protocol}
        size = {"px": run.recipe.image_size, "epochs": expand.epochs_of(run.method, run.options, run.recipe)}
    return {"job": run.job, **names, "method": method_label(run.method, run.variant), "backbone": run.backbone, **size}


def _on_any_gpu(run: AnyRun) -> AnyRun:
    """A profile as planned on a machine with a GPU."""
    if isinstance(run, Run):
        return run
    return run.model_copy(update={"device": "cuda", "hardware": ANY_GPU})
