"""The experiments of the project's reference results: the rows of every suite with a `numbers` position, and every
published row by its paper's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import methods
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.planning import expand, headline, method_files, shopping, suite, suite_builders
from benchmarks.planning.overrides import Changes, matches, may_fit, none_fits
from benchmarks.planning.suite import Profiling, Suite, Training
from results.settings import AnyRun, ProfileRun, Run, method_label

ALL = "all"
"""In place of a method: all reference results."""
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
    """The row with its matching Runs, or None; a row without Runs is kept if some may match, by its names."""
    if not row.runs:
        model = Run if row.names["job"] == "train" else ProfileRun
        return row if any(may_fit(model, one, only) for one in _settings(row)) else None
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
