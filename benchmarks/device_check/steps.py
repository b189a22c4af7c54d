"""What a method's training step and inference step cost on the device, beside the plain network's."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.device_check.finding import Finding
from benchmarks.device_check.networks import Network
from benchmarks.planning import method_files
from benchmarks.profiling.counting import count
from benchmarks.profiling.memory import Peak
from benchmarks.profiling.profiled_method import ProfiledMethod
from benchmarks.profiling.timing import Step, seconds_of
from benchmarks.training.device import numerics, ran_out_of_memory
from results.device_check import Check
from results.settings import Precision, ProfileRun
from results.speed import Mode

ROUND_SECONDS = 0.4
ROUNDS = 3
PLAIN = "plain"
ABOVE = 1.2
"""A step is slow if it takes this many times what its passes through the backbone alone would."""
GAINS = {"bf16": 2.06, "bf16, compiled": 2.92}
"""Plain's images/s over those in fp32 that are the goal, in training: measured once on an H200 with ResNet-50, 448 px,
batch 64 (570, 1173 and 1662 images/s)."""


@dataclass(frozen=True)
class Cell:
    """What is measured: a method on a network with random weights, and its batch."""

    method: str
    network: Network
    image_size: int
    batch_size: int
    precision: Precision = "fp32"
    compiled: bool = False
    classes: int = 200

    @property
    def case(self) -> str:
        """All but the method."""
        size = f"{self.image_size} px, batch {self.batch_size}"
        return f"{self.network.name}, {size}, {self.precision}{', compiled' * self.compiled}"

    def run(self, device: str, batch_size: int) -> ProfileRun:
        """As a profile Run has it."""
        return ProfileRun(
            method=self.method,
            variant="paper",
            options=method_files.options_of(self.method, "paper"),
            backbone=self.network.name,
            backbone_options=dict(self.network.options),
            classes=self.classes,
            image_size=self.image_size,
            batch_size=batch_size,
            precision=self.precision,
            compile=self.compiled,
            device="cuda" if device == "cuda" else "cpu",
            hardware="",
        )


def measure_steps(cell: Cell, device: str) -> Finding:
    """Milliseconds, images/s and peak memory of both modes; with half the batch while memory is too small."""
    size = cell.batch_size
    while True:
        try:
            return _measured(cell, device, size)
        except Exception as error:
            if size == 1 or not ran_out_of_memory(error):
                raise
        size //= 2
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def _measured(cell: Cell, device: str, batch_size: int) -> Finding:
    on_device = torch.device(device)
    numbers: dict[str, float] = {"batch": batch_size}
    peak = Peak(on_device)
    with numerics(cell.precision):
        profiled = ProfiledMethod(cell.run(device, batch_size))
        train, infer = profiled.step("train"), profiled.step("inference")
        profiled.enter("train")
        train()
        counts = count(profiled.method, train)
        numbers |= {"train_passes": counts.backbone_images / batch_size, "train_operations": counts.launches}
        if cell.compiled:
            numbers["compile_s"] = _compile(profiled, train, infer)
        modes: tuple[tuple[Mode, Step], ...] = (("train", train), ("inference", infer))
        for mode, step in modes:
            profiled.enter(mode)
            peak.reset()
            seconds = median_seconds(step, on_device)
            numbers |= {f"{mode}_ms": 1000 * seconds, f"{mode}_images_per_s": batch_size / seconds}
            numbers[f"{mode}_peak_bytes"] = peak.bytes
    fewer = f"; batch {batch_size}: memory is too small for {cell.batch_size}" if batch_size < cell.batch_size else ""
    train_rate, inference_rate = (f"{numbers[f'{mode}_images_per_s']:.0f} images/s" for mode, _ in modes)
    found = f"training {numbers['train_ms']:.1f} ms, {train_rate}; inference {inference_rate}"
    return Finding("ok", f"{found}{fewer}", numbers)


def _compile(profiled: ProfiledMethod, train: Step, infer: Step) -> float:
    """Compiles both modes; returns how long it took, in seconds."""
    began = time.monotonic()
    profiled.compile()
    with profiled.learning():
        profiled.enter("train")
        train()
        profiled.enter("inference")
        infer()
    return time.monotonic() - began


def median_seconds(step: Step, device: torch.device) -> float:
    """Seconds of one step: the median of a few rounds after a warm-up. Shorter than a profile, which waits for a steady
    rate."""
    seconds_of(step, 2, device)
    repeats = max(1, round(ROUND_SECONDS / seconds_of(step, 1, device)))
    return statistics.median(seconds_of(step, repeats, device) / repeats for _ in range(ROUNDS))


def beside_plain(checks: Sequence[Check], judged: bool) -> list[Check]:
    """The checks with `train_of_plain` and `inference_of_plain`, the time per image over plain's in the same case, and
    plain's own with `train_of_fp32`, its gain.

    If steps are `judged`, one that takes longer than `ABOVE` times its passes through the backbone is slow, and so is
    plain that gains less than its goal (`GAINS`). Networks of a few milliseconds should not be.
    """
    plain = {one.case: one for one in checks if _was_measured(one) and one.method == PLAIN}
    return [_compared(one, plain, judged) if _was_measured(one) else one for one in checks]


def _was_measured(check: Check) -> bool:
    return check.group == "steps" and "train_images_per_s" in check.numbers


def _compared(check: Check, plain: Mapping[str, Check], judged: bool) -> Check:
    if check.method == PLAIN:
        return _gain(check, plain, judged)
    base = plain.get(check.case)
    if base is None:
        return check
    ratios = {
        f"{mode}_of_plain": base.numbers[f"{mode}_images_per_s"] / check.numbers[f"{mode}_images_per_s"]
        for mode in ("train", "inference")
    }
    ratio, passed = ratios["train_of_plain"], check.numbers["train_passes"]
    words = f"{ratio:.2f} × plain for {passed:g} pass{'es' * (passed != 1)}"
    return _told(check, words, ratios, judged and ratio > ABOVE * passed)


def _gain(check: Check, plain: Mapping[str, Check], judged: bool) -> Check:
    for kind, goal in GAINS.items():
        base = plain.get(f"{check.case.removesuffix(kind)}fp32")
        if check.case.endswith(f", {kind}") and base is not None:
            gain = check.numbers["train_images_per_s"] / base.numbers["train_images_per_s"]
            words = f"{gain:.2f} × fp32, goal {goal:g}"
            return _told(check, words, {"train_of_fp32": gain}, judged and gain < goal)
    return check


def _told(check: Check, words: str, numbers: dict[str, float], slow: bool) -> Check:
    """The check with the comparison in words and numbers."""
    known = {"finding": f"{check.finding}; {words}", "numbers": {**check.numbers, **numbers}}
    return check.model_copy(update={**known, "status": "slow" if slow else check.status})
