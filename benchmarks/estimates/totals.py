"""The last lines of a dry run: what the whole plan will take."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from benchmarks import hardware
from benchmarks.environment import Environment, Execution
from benchmarks.errors import REFUSED
from benchmarks.estimates import images, memory
from benchmarks.estimates.estimator import WITHIN, Estimator
from benchmarks.planning import method_files
from datasets.cache_folder import default_cache
from datasets.loading.sources import expected_bytes
from datasets.loading.store import ResizeRule, store_folder
from results.record import Estimate, Source
from results.settings import AnyRun, Run, method_label
from results.values.text import counted, spaced

GB = 1e9
ABOUT_A_MINUTE = 90.0
"""Seconds, the most that a profile may take to be called so."""


@dataclass
class Totals:
    """Sums over the Runs that are to do."""

    trained: int = 0
    evaluated: int = 0
    seconds: dict[Source, float] = field(default_factory=lambda: defaultdict(float))
    """By where the estimates came from, as the next."""
    runs: dict[Source, int] = field(default_factory=lambda: defaultdict(int))
    unknown: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Runs without an estimate, by their method."""
    guessed: Run | None = None
    """The longest of the trainings whose pace was not measured."""
    longest: float = 0.0
    peak: int = 0
    """Bytes of the training that needs most memory."""
    largest: Run | None = None

    def add(self, run: AnyRun, times: int, estimate: Estimate | None) -> None:
        """Takes `times` Runs that differ in their seeds into account."""
        if estimate is None:
            self.unknown[run.method] += times
            return
        self.seconds[estimate.source] += times * estimate.seconds
        self.runs[estimate.source] += times
        if estimate.source in UNMEASURED and estimate.seconds > self.longest and isinstance(run, Run):
            self.guessed, self.longest = run, estimate.seconds


def lines(
    plan: Sequence[AnyRun],
    done: Collection[str],
    estimator: Estimator,
    jobs: int = 1,
    not_needed: Collection[str] = (),
) -> list[str]:
    """What a plan will take, in sentences. `done`: ids of the Runs that are finished; `jobs`: how many Runs are carried
    out at a time; `not_needed`: ids of batch sizes beyond the end of their sweep."""
    beyond = sum(run.id in not_needed for run in plan)
    to_do = [run for run in plan if run.id not in done and run.id not in not_needed]
    counts = [f"{len(plan) - len(to_do) - beyond} done", *[f"{beyond} not needed"] * bool(beyond)]
    found = [", ".join([f"total: {counted(len(plan), 'Run')}", *counts, f"{len(to_do)} to do"])]
    if not to_do:
        return found
    totals = _summed(to_do, estimator)
    if totals.trained:
        found.append(f"images: {spaced(totals.trained)} to train on, {spaced(totals.evaluated)} to evaluate")
    found += _time(totals, estimator, min(jobs, len(to_do)))
    found += _disk(to_do, estimator.environment)
    return found + _memory(totals)


def elsewhere(plan: Sequence[AnyRun], estimator: Estimator) -> list[str]:
    """The same of Runs that are left to another machine, whose speed is not known."""
    if not plan:
        return []
    totals = _summed(plan, estimator)
    found = f"left to a machine with a GPU: {counted(len(plan), 'Run')}"
    if totals.trained:
        found += f", {spaced(totals.trained)} images to train on, {spaced(totals.evaluated)} to evaluate"
    return [found, *_memory(totals)]


def _memory(totals: Totals) -> list[str]:
    if totals.largest is None:
        return []
    room = f"{totals.peak / memory.GIB:.1f} GiB at the peak ({_name(totals.largest)})"
    return [f"memory: about {room}; {memory.gpu_needed(totals.peak)}"]


def _summed(to_do: Iterable[AnyRun], estimator: Estimator) -> Totals:
    alike: dict[str, list[AnyRun]] = {}
    for run in to_do:
        alike.setdefault(run.experiment, []).append(run)
    totals, environment = Totals(), estimator.environment
    for runs in alike.values():
        run, estimate = runs[0], None
        with suppress(*REFUSED):  # a plan is checked elsewhere
            estimate = estimator.of(run)
            if isinstance(run, Run):
                todo = images.of_run(run, environment)
                totals.trained += len(runs) * todo.learnt
                totals.evaluated += len(runs) * todo.evaluated
                peak = estimator.peak_bytes(run) or 0
                if peak > totals.peak:
                    totals.peak, totals.largest = peak, run
        totals.add(run, len(runs), estimate)
    return totals


def _name(run: Run) -> str:
    return f"{run.method} on {run.backbone}, {run.image_size} px, batch {run.recipe.batch_size}"


def _time(totals: Totals, estimator: Estimator, jobs: int) -> list[str]:
    found = []
    if totals.runs:
        whole = duration(sum(totals.seconds.values()) / jobs)
        shared = _shared(estimator.processes, jobs)
        found.append(f"time: about {whole} on {estimator.device}{shared}; {_sources(totals)}")
        if hardware.overloaded():
            found.append("this machine has more work than cores now: as long as that lasts, everything takes longer")
    if totals.unknown:
        runs, named = counted(sum(totals.unknown.values()), "Run"), ", ".join(totals.unknown)
        found.append(f"time: unknown for {runs} of {named}, whose work can't be counted; profile first")
    if totals.guessed and (estimator.profile_seconds(totals.guessed) or inf) < ABOUT_A_MINUTE:
        command = profile_command(totals.guessed, estimator.environment.execution)
        found.append(f"a profile of about a minute makes the guess a measurement: {command}")
    if totals.runs.get("guess") and estimator.environment.execution.compile:
        found.append("the guess is of uncompiled code, which takes longer as a rule")
    return found


def _shared(processes: int, jobs: int) -> str:
    words = [f"{processes} processes share each training"] if processes > 1 else []
    words += [f"{jobs} jobs run at a time"] if jobs > 1 else []
    return f", if {' and '.join(words)} without loss" if words else ""


SOURCES: Mapping[Source, str] = {
    "finished Runs": "by finished Runs like them",
    "profile": "by this device's profiles",
    "uncompiled": "by Runs and profiles like them that were not compiled so, which take longer as a rule",
    "guess": f"guessed from counted work, within a factor of {WITHIN}",
}


UNMEASURED: Collection[Source] = ("uncompiled", "guess")


def _sources(totals: Totals) -> str:
    """Where the hours come from, each part with its Runs if there are several."""
    if len(totals.runs) == 1:
        return SOURCES[next(iter(totals.runs))]
    return ", ".join(
        f"{duration(totals.seconds[source])} {SOURCES[source]} ({counted(number, 'Run')})"
        for source, number in totals.runs.items()
    )


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.4 hours`, `5.2 days`, `5 470 days`: as much as an estimate deserves."""
    for unit, size, below in (("s", 1, 100), ("min", 60, 100), ("hours", 3600, 72)):
        if seconds < below * size:
            return f"{seconds / size:.1f} {unit}" if unit == "hours" else f"{seconds / size:.0f} {unit}"
    days = seconds / 86400
    return f"{days:.1f} days" if days < 100 else f"{spaced(10 * round(days / 10))} days"


def profile_command(run: Run, execution: Execution) -> str:
    """What measures the pace of a training."""
    compiled = f" --compile-mode {execution.compile_mode}" if execution.compile else ""
    precision = "" if run.precision == "fp32" else f" --precision {run.precision}"
    own = method_files.options_of(run.method, run.variant)
    options = "".join(
        " --set " + shlex.quote(f"options.{key}={json.dumps(value, separators=(',', ':'))}")
        for key, value in run.options.items()
        if key not in own or own[key] != value
    )
    return (
        f"python run_all.py profile --methods {method_label(run.method, run.variant)} --backbone {run.backbone} "
        f"--image-size {run.image_size} --batch-size {run.recipe.batch_size}{precision}{compiled}{options}"
    )


def _disk(to_do: Iterable[AnyRun], environment: Environment) -> list[str]:
    """The decoded images that are not in the cache yet."""
    cache = default_cache()
    missing: dict[Path, int] = {}
    for name, options, size, rule in dict.fromkeys(_stores(to_do)):
        with suppress(*REFUSED):  # a plan is checked elsewhere
            dataset = environment.open(name, json.loads(options))
            folder = store_folder(dataset, size, rule, cache)
            if not folder.exists():
                missing[folder] = expected_bytes(len(dataset), size, rule)
    if not missing or environment.feed == "streamed":
        return []
    needed = sum(missing.values()) / GB
    return [f"disk: {needed:.1f} GB for {counted(len(missing), 'store')} of decoded images, in {cache}"]


def _stores(runs: Iterable[AnyRun]) -> Iterator[tuple[str, str, int, ResizeRule]]:
    """Dataset, its options as JSON, pixels and rule of the decoded images that each Run reads."""
    for run in runs:
        if isinstance(run, Run):
            yield run.dataset, json.dumps(run.dataset_options), run.recipe.stored_size, run.recipe.resize
        elif run.input:
            yield run.input.dataset, json.dumps(run.input.dataset_options), run.input.stored_size, run.input.resize
