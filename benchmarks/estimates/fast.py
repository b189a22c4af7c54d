"""What `--fast` gains: training in bfloat16 and compiled, against float32 and uncompiled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from benchmarks.environment import Environment
from results.record import Record
from results.settings import AnyRun, ProfileRun, Run, method_label

ELSEWHERE = (2.9, "ResNet-50 at 448 px on an H200: 570 images/s, 1662 with it")
"""The gain where nothing was measured on this GPU, and where it was: in batches of 64."""
OWN_ROW = "its accuracy is that of another experiment, with a row of its own"


class Network(NamedTuple):
    """What is built on a backbone."""

    method: str
    variant: str
    options: str
    """As JSON."""


PLAIN = Network("plain", "paper", "{}")


@dataclass(frozen=True)
class Gain:
    """How many times as fast a network trains."""

    factor: float
    network: str
    """What was measured."""


def lines(plan: Iterable[AnyRun], environment: Environment, profiles: Sequence[Record]) -> list[str]:
    """A sentence on the trainings of a plan, if they are as `--fast` has them or as it is without; else none.

    `profiles`: finished ones of this device. On a CPU there is nothing to say unless the gain was measured.
    """
    runs = [run for run in plan if isinstance(run, Run)]
    compiled = environment.execution.compile
    fast = [run for run in runs if compiled and run.precision == "bf16"]
    slow = [run for run in runs if not compiled and run.precision == "fp32"]
    if not fast and not slow:
        return []
    gains = {gain.network: gain for run in fast or slow if (gain := measured(run, profiles))}
    if gains:
        factors = sorted(gain.factor for gain in gains.values())
        span = " to ".join(dict.fromkeys(f"{factor:.1f}" for factor in (factors[0], factors[-1])))
        told = f"{span} × as fast here, measured with {', '.join(gains)}"
    elif environment.device == "cuda":
        told = f"perhaps {ELSEWHERE[0]} × as fast, not measured here ({ELSEWHERE[1]})"
    else:
        return []
    return [f"--fast trains {told}"] if fast else [f"--fast would train {told}; {OWN_ROW}"]


def measured(run: Run, profiles: Iterable[Record]) -> Gain | None:
    """From two profile Runs that differ in nothing but precision and compilation: of the method itself, else of the
    plain network on the same backbone, at the batch size nearest to the training's."""
    rates: dict[tuple[Network, int], dict[str, float]] = {}
    for record in profiles:
        profile = record.run
        if isinstance(profile, ProfileRun) and (kind := _kind(run, profile)) and (rate := _rate(record)):
            rates.setdefault((_network(profile), profile.batch_size), {})[kind] = rate
    both = [(*key, pair["fast"] / pair["slow"]) for key, pair in rates.items() if len(pair) == 2]
    if not both:
        return None
    own, batch_size = _network(run), run.recipe.batch_size
    network, _, factor = min(both, key=lambda one: (one[0] != own, abs(one[1] - batch_size), one[2]))
    return Gain(factor, f"{method_label(network.method, network.variant)} on {run.backbone}, {run.image_size} px")


def _network(run: AnyRun) -> Network:
    return Network(run.method, run.variant, json.dumps(run.options, sort_keys=True))


def _kind(run: Run, profile: ProfileRun) -> str | None:
    """Whether a profile Run measured the training with `--fast` (`fast`) or without any of it (`slow`)."""
    same = (profile.backbone, profile.image_size) == (run.backbone, run.image_size)
    if not same or _network(profile) not in (_network(run), PLAIN):
        return None
    if profile.compile_mode != "default" or profile.checkpointing:
        return None
    return {("bf16", True): "fast", ("fp32", False): "slow"}.get((profile.precision, profile.compile))


def _rate(record: Record) -> float | None:
    """Images/s of training alone, without input."""
    speed = record.speed.get("train")
    return speed.images_per_s if speed and 0 < speed.images_per_s < inf else None
