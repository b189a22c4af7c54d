"""How long a Run takes on this device, and how much memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from math import inf, isfinite
from statistics import median
from typing import Any

import torch

from benchmarks import hardware
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED
from benchmarks.estimates import images, memory, pace
from benchmarks.estimates.counted_work import CountedWork
from benchmarks.planning.method_checks import stand_in
from results.record import Estimate, Record, Source
from results.settings import AnyRun, CompileMode, Run

WITHIN = 4
"""The factor within which a guess is called right: it was for 19 of 20 of the project's trainings (docs/running.md)."""
PROFILE_SECONDS = 30.0
"""Of a profile Run where none like it is known; the project's own took 6 to 71 s on two CPU cores."""
PROFILE_STEPS = 30
"""Batches that a profile processes in training and in inference, each at the least: warm-up, blocks of one, latencies,
parts of a step."""


class Estimator:
    """Estimates from this device's finished Runs of the same kind, else from its profile Runs, else by a guess.

    A compiled training is estimated from compiled Runs, or else, under another name, from uncompiled ones."""

    def __init__(self, records: Iterable[Record], environment: Environment, processes: int = 1) -> None:
        """`processes`: how many will share each training."""
        self.environment, self.processes = environment, processes
        self.device = hardware.device_name(torch.device(environment.device))
        self.profiles: list[Record] = []
        self.counted = CountedWork()
        self._seconds_per_image: dict[tuple[Any, ...], list[float]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Takes a finished Run into account; one of another device, or of a shared one, says nothing."""
        if record.training.get("parallel", 1) > 1:
            return
        if record.status != "done" or record.hardware.get("name") != self.device or not isfinite(record.seconds):
            return
        if not isinstance(record.run, Run):
            self.profiles.append(record)
            self._note(record.run, pace.mode_of(record.run), record.seconds)
        elif record.split:
            sizes = {name: size for name, size in record.split.items() if isinstance(size, int)}
            with suppress(*REFUSED, KeyError, ArithmeticError):  # no such method here, or senseless sizes
                work = images.of_sizes(record.run, sizes).work
                seconds = _whole(record) * record.training.get("processes", 1) / work
                self._note(record.run, record.compile_mode, seconds)

    def _note(self, run: AnyRun, compiled: CompileMode | None, seconds: float) -> None:
        if not 0 < seconds < inf:  # nor NaN: numbers of a record may make no sense
            return
        for key in _keys(run, compiled):
            self._seconds_per_image.setdefault(key, []).append(seconds)

    def of(self, run: AnyRun) -> Estimate | None:
        """None for a training whose work can't be counted.

        Raises `DatasetError` if the dataset is not here, and `UserError` if the phases don't fit the recipe.
        """
        if not isinstance(run, Run):
            known = self._known(run, pace.mode_of(run))
            return _estimate(known or PROFILE_SECONDS, "guess" if known is None else "finished Runs")
        todo, compiled = images.of_run(run, self.environment), pace.mode_of(self.environment.execution)
        found = self._measured(run, todo, compiled)
        if found is None and compiled and (uncompiled := self._measured(run, todo, None)):
            found = uncompiled[0], "uncompiled"
        if found is None and (guessed := pace.of_work(run, self.counted, self.environment.device)):
            found = guessed.seconds(todo) + self._fit(run, todo), "guess"
        return None if found is None else _estimate(found[0] / self.processes, found[1])

    def _measured(self, run: Run, todo: images.Images, compiled: CompileMode | None) -> tuple[float, Source] | None:
        """Seconds by finished Runs or profiles that were `compiled` so, or not at all."""
        known = self._known(run, compiled)
        if known is not None:
            return known * todo.work, "finished Runs"
        found = pace.of_profile(run, self.profiles, compiled)
        return None if found is None else (found.seconds(todo) + self._fit(run, todo), "profile")

    def _fit(self, run: Run, todo: images.Images) -> float:
        """Seconds of fitting to frozen features, which no profile measures."""
        classes = len(self.environment.open(run.dataset, run.dataset_options).classes)
        return pace.seconds_of_fit(run, self.counted, self.environment.device, todo.learnt, classes)

    def _known(self, run: AnyRun, compiled: CompileMode | None) -> float | None:
        """Seconds per image of the finished Runs that are most like it."""
        known = self._seconds_per_image
        return next((median(known[key]) for key in _keys(run, compiled) if key in known), None)

    def profile_seconds(self, run: Run) -> float | None:
        """How long a profile of the training's network and batch would take; None where that is not known, or where the
        batch has no room."""
        found = pace.of_profile(run, self.profiles) or pace.of_work(run, self.counted, self.environment.device)
        whole = run.model_copy(update={"recipe": run.recipe.model_copy(update={"accumulate": 1})})
        peak = memory.peak_bytes(whole, self.profiles, self.counted)
        if found is None or peak is None or peak > memory.free(self.environment.device):
            return None
        return PROFILE_STEPS * run.recipe.batch_size * (found.trained + found.evaluated)

    def peak_bytes(self, run: Run) -> int | None:
        """Peak memory of a training, in each of its processes; None if its work can't be counted."""
        asked = self.environment.execution.micro_batch
        most = asked if isinstance(asked, int) else None
        return memory.peak_bytes(run, self.profiles, self.counted, self.processes, most)


def _estimate(seconds: float, source: Source) -> Estimate:
    """Within what a record may hold: from a thousandth of a second to thirty years."""
    return Estimate(seconds=min(max(seconds, 1e-3), 1e9), source=source)


def _whole(record: Record) -> float:
    """Seconds of a training; of a probe, without what features that an earlier Run had kept saved it."""
    parts = [record.training.get(name, 0.0) for name in ("seconds", "evaluation_seconds")]
    return max(record.seconds, sum(parts)) if record.training.get("micro_batch") == 0 else record.seconds


def _keys(run: AnyRun, compiled: CompileMode | None) -> list[tuple[Any, ...]]:
    """What Runs of similar cost have in common, the closest similarity first."""
    network = (run.job, run.method, run.backbone, run.image_size, run.precision, compiled)
    # Variants that are not fitted at length say nothing of one that is.
    alone = isinstance(run, Run) and stand_in(run.label, run.method, run.options).fit_passes > 0
    return [(run.variant, *network), *([] if alone else [network])]
