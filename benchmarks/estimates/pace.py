"""Seconds per image of a method on a network: from this device's profile Runs, or guessed from counted work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from benchmarks.environment import Execution
from benchmarks.estimates.ceilings import ceilings
from benchmarks.estimates.counted_work import CountedWork, Work
from benchmarks.estimates.images import Images
from benchmarks.planning.method_checks import stand_in
from results.record import Record
from results.settings import CompileMode, ProfileRun, Run
from results.speed import Limits, Mode

BACKWARD_FLOPS, BACKWARD_BYTES, BACKWARD_LAUNCHES = 3.0, 2.6, 3.0
"""A training step in forward passes. Counted for the project's methods: 2.9 to 3.0, 2.3 to 3.0 (with one outlier at
5), and 2.4 to 3.7."""
FIT_FLOPS = 4.0
"""Per image, feature and class in a pass with its gradient: the logits, and the gradient of the weights."""
HALF = 0.5
"""Bytes of bfloat16 in bytes of float32."""


@dataclass(frozen=True)
class Pace:
    """Seconds per image."""

    trained: float
    """With the backward pass and the step."""
    forwarded: float
    """With the forward passes of training alone: where the backbone does not learn."""
    evaluated: float

    def seconds(self, todo: Images) -> float:
        """Of a whole training."""
        return todo.trained * self.trained + todo.forwarded * self.forwarded + todo.evaluated * self.evaluated


def of_profile(run: Run, profiles: Iterable[Record], compiled: CompileMode | None = None) -> Pace | None:
    """From the finished profile Run of the same method, network, size and precision whose batch is nearest.

    `compiled`: the mode of torch.compile; None: uncompiled.
    """
    alike = [
        (abs(one.run.batch_size - run.recipe.batch_size), one)
        for one in profiles
        if isinstance(one.run, ProfileRun) and same_network(run, one.run, compiled) and _rates(one)
    ]
    if not alike:
        return None
    _, nearest = min(alike, key=lambda pair: (pair[0], pair[1].id))
    trained, evaluated = _rates(nearest)
    return Pace(1 / trained, 1 / evaluated, 1 / evaluated)


def same_network(run: Run, profile: ProfileRun, compiled: CompileMode | None = None) -> bool:
    """Whether a profile Run measured what this training computes, `compiled` in a mode or not at all."""
    keys = ("method", "variant", "options", "backbone", "image_size", "precision")
    alike = all(getattr(run, key) == getattr(profile, key) for key in keys)
    return alike and mode_of(profile) == compiled and not profile.checkpointing


def mode_of(choice: ProfileRun | Execution) -> CompileMode | None:
    """How something is compiled; None: not at all."""
    return choice.compile_mode if choice.compile else None


def _rates(profile: Record) -> list[float]:
    """Images/s of training and of inference, with their input if that was measured; empty unless both are known.

    Where a method has no training step, both are those of inference."""
    run = profile.run
    learns = stand_in(run.label, run.method, run.options).phases()
    modes: tuple[Mode, ...] = ("train" if learns else "inference", "inference")
    speeds = [profile.speed.get(mode) for mode in modes]
    rates = [speed.end_to_end_images_per_s or speed.images_per_s for speed in speeds if speed]
    return rates if len(rates) == 2 and all(0 < rate < inf for rate in rates) else []  # nor NaN


def of_work(run: Run, counted: CountedWork, device: str) -> Pace | None:
    """A guess: the time that arithmetic, memory and launches would each take at the device's ceilings, added up."""
    work = counted.of(run)
    limits = ceilings(device, run.precision) if work else None
    if work is None or limits is None:
        return None
    half = HALF if run.precision == "bf16" else 1.0
    batch = run.recipe.batch_size
    forwarded = _at_ceilings(work, limits, batch, half, (1.0, 1.0, 1.0))
    both_ways = _at_ceilings(work, limits, batch, half, (BACKWARD_FLOPS, BACKWARD_BYTES, BACKWARD_LAUNCHES))
    trained = work.with_gradients * both_ways + (1 - work.with_gradients) * forwarded
    return Pace(trained, forwarded, work.evaluated * forwarded)


def seconds_of_fit(run: Run, counted: CountedWork, device: str, images: int, classes: int) -> float:
    """A guess of what fitting to the features of so many training images takes, beside their computation; 0 where it is
    not known."""
    passes = stand_in(run.label, run.method, run.options).fit_passes
    work = counted.of(run) if passes else None
    limits = ceilings(device, "fp32") if work else None
    if work is None or limits is None:
        return 0.0
    return passes * FIT_FLOPS * images * work.features * classes / limits.flops_per_s


def _at_ceilings(work: Work, limits: Limits, batch: int, half: float, times: tuple[float, float, float]) -> float:
    flops, moved, launches = times
    return (
        flops * work.flops / limits.flops_per_s
        + moved * half * work.bytes / limits.bytes_per_s
        + launches * work.launches * limits.launch_s / batch
    )
