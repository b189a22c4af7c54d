"""Peak memory of a training, and the GPU that it needs."""

from __future__ import annotations

from collections.abc import Iterable

import psutil
import torch

from benchmarks.estimates.counted_work import CountedWork
from benchmarks.estimates.pace import HALF, same_network
from benchmarks.gpu import gpu
from benchmarks.planning.method_checks import stand_in
from benchmarks.training.engine import EVALUATION_BATCH, NO_GRAD_FACTOR
from datasets.loading.sources import HOST_SHARE
from results.record import Record
from results.settings import ProfileRun, Run
from results.speed import Mode
from results.values.numbers import BYTES

GIB = 2**30
GPU_SIZES = (8, 12, 16, 24, 40, 48, 80)
"""GB of common GPUs."""
CONTEXT = GIB
"""Bytes that CUDA and its libraries take besides."""
WORKSPACE = 1.3
"""A peak, as a multiple of the tensors that a step keeps: 1.2 to 1.5 in the project's own profiles of networks whose
activations are larger than their weights."""
STATES = {"sgd": 1, "adam": 2, "adamw": 2}
"""Numbers that an optimiser keeps per weight."""


def peak_bytes(
    run: Run, profiles: Iterable[Record], counted: CountedWork, processes: int = 1, most: int | None = None
) -> int | None:
    """Of each of `processes` that share the training; from a profile Run of this device, else guessed.

    `most`: images that a backward pass takes at the most. None if the method can't be counted. Where nothing learns by
    gradients it is the peak of the pass that computes the features; fitting something to them is left out.
    """
    learns = bool(stand_in(run.label, run.method, run.options).phases())
    images = _of_a_step(run, processes, most) if learns else _of_a_pass(most)
    mode: Mode = "train" if learns else "inference"
    for one in profiles:
        if isinstance(one.run, ProfileRun) and same_network(run, one.run) and mode in one.speed:
            speed = one.speed[mode]
            fixed = sum(size for phase, size in speed.memory.items() if phase != "activations")
            if max(fixed, speed.peak_memory) > BYTES.high:  # a record may be from anywhere
                continue
            more_states = STATES[run.recipe.optimizer.name] / STATES[one.run.optimizer] - 1
            states = more_states * speed.memory.get("optimizer", 0) if learns else 0
            return int(fixed + states + max(speed.peak_memory - fixed, 0) * images / one.run.batch_size)
    work = counted.of(run)
    if work is None:
        return None
    copies = 2 + STATES[run.recipe.optimizer.name] if learns else 1  # with gradients and the optimiser's state
    half = HALF if run.precision == "bf16" else 1.0
    return int(WORKSPACE * (copies * work.weights + images * half * work.activations))


def _of_a_step(run: Run, processes: int, most: int | None) -> int:
    """Images of a process's backward pass."""
    images = -(-run.recipe.batch_size // processes // run.recipe.accumulate)
    return images if most is None else min(images, most)


def _of_a_pass(most: int | None) -> int:
    """Images of a forward pass without gradients."""
    return EVALUATION_BATCH if most is None else min(EVALUATION_BATCH, NO_GRAD_FACTOR * most)


def free(device: str) -> int:
    """Bytes of the device, `cpu` or `cuda`, that a new process may take."""
    if device == "cpu":
        return int(psutil.virtual_memory().available * HOST_SHARE)
    return gpu(torch.device(device)).free - CONTEXT


def gpu_needed(peak: int) -> str:
    """The smallest common GPU that has room for `peak` bytes, in words."""
    needed = (peak + CONTEXT) / GIB
    size = next((size for size in GPU_SIZES if needed <= size), None)
    if size is None:
        return f"needs a GPU with more than {GPU_SIZES[-1]} GB, or --batch-size auto, which splits batches"
    return f"needs a GPU with {size} GB or more"
