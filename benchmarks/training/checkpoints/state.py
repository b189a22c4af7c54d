"""The state of a training: how far it has come, captured for a checkpoint and restored from one; and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.training.device import random_state, set_random_state, set_threads
from benchmarks.training.engine import Engine
from benchmarks.training.evaluate import Choice
from benchmarks.training.losses import Losses
from methods.interface import Method
from results.record import ReadOut, Selection

NAMES = {"cpu": "CPU", "cuda": "GPU"}
"""Of devices, for people."""


@dataclass
class TrainingState:
    """How far a training has come. "Current" below is the epoch that has begun and not ended."""

    epoch: int = 0
    """Completed epochs."""
    batch: int = 0
    """Completed batches of the current epoch."""
    losses: Losses = field(default_factory=Losses)
    """Of the current epoch."""
    images: int = 0
    """Images trained on in the current epoch."""
    epoch_seconds: float = 0.0
    """Training time of the current epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row for each completed epoch."""
    chosen: dict[Selection, Choice] = field(default_factory=dict)
    seconds: float = 0.0
    """Time of the whole training, with compiling, evaluations and checkpoints: a resumed Run's record has it."""
    evaluation_seconds: float = 0.0
    """Time of all evaluations."""
    checkpoint_seconds: float = 0.0
    """Time that the training waited for its checkpoints."""
    images_before_cut: int = 0
    """Images trained on before memory ran out and the batch was last cut; 0 if that was before the first step."""
    resumed: int = 0
    """How many times the training was resumed from a checkpoint."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the result should know about how it came about, one line each."""
    begun: dict[str, Any] = field(default_factory=dict)
    """What the training was begun with that decides its bits or pace and is no setting, as `begun_with` has it."""

    @property
    def total_images(self) -> int:
        """Images trained on since the beginning, with the current epoch."""
        return self.images + sum(row["images"] for row in self.history)

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Adds the epoch's row to the history and begins the next epoch."""
        self.history.append(row)
        self.epoch += 1
        self.batch, self.images, self.epoch_seconds, self.losses = 0, 0, 0.0, Losses()


@dataclass
class TrainingResult:
    """What a finished training returns."""

    method: Method
    state: TrainingState
    test_rows: np.ndarray
    weights: list[dict[str, Any]]
    training_seconds: float
    images_per_s: float
    peak_memory: int | None
    """Bytes allocated on the GPU, without the images that are kept there; a CPU's memory is measured by profile Runs,
    each in its own process."""
    resident_bytes: int
    """Of the images that are kept on the device; 0 if none are."""
    counts: dict[str, int]
    """Images of each split."""
    micro_batch: int
    """Images of the largest backward pass."""
    processes: int
    threads: int
    """Of torch, in each process."""
    compile_seconds: float | None
    """Duration of the warm-up before training, in no other time but that of the whole training (`state.seconds`); None
    if nothing was compiled."""
    finished_by_method: bool
    """Whether the method's `finish` changed it after the last epoch."""
    branches: dict[str, float]
    """Top-1 on the test images of each of the method's `branches`, with the last weights."""
    readouts: dict[str, ReadOut]
    """What each of the method's `readouts` reaches there."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the result should know about how it came about, one line each."""
        return self.state.notes


def begun_with(engine: Engine) -> dict[str, Any]:
    """For `TrainingState.begun` of a training that begins now."""
    return {
        "device": engine.device.type,
        "threads": torch.get_num_threads(),
        "micro_batch": engine.execution.micro_batch,
        "parallel": engine.execution.parallel,
    }


def capture(engine: Engine, state: TrainingState, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A training between two batches as containers, numbers and tensors, for a checkpoint (see `checkpoint.VERSION`).

    All processes must call it, and must have the buffers of the first one.
    """
    losses = state.losses.sums
    if engine.processes.world > 1:  # they are sent to the first process
        losses = {name: value.cpu() for name, value in losses.items()}
    return {
        **{name: value for name, value in vars(state).items() if name != "losses"},
        "chosen": {name: vars(choice) for name, choice in state.chosen.items()},
        "method": engine.method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "processes": engine.processes.gather({"losses": losses, "random": random_state(engine.device)}),
        "limit": engine.micro_batch_limit,
        "micro_batch": engine.largest_micro_batch,
    }


def restore(saved: Mapping[str, Any], engine: Engine) -> tuple[TrainingState, list[str]]:
    """Restores method, random generators, number of threads and micro-batch from what `capture` returned; each phase
    restores its own optimiser. Also returns a line for each of them that this process would have chosen otherwise.

    Raises `RuntimeError` if the method has other weights; some of them may have been changed by then.
    """
    engine.method.load_state_dict(saved["method"])
    begun, kept = saved["begun"], []
    if line := set_threads(begun["threads"]):
        kept.append(line)
    if engine.micro_batch_limit is None and saved["limit"] is not None:
        kept.append(f"continues with at most {saved['limit']} images at a time, as before")
    limits = [limit for limit in (engine.micro_batch_limit, saved["limit"]) if limit is not None]
    engine.micro_batch_limit = min(limits, default=None)
    engine.largest_micro_batch = min([saved["micro_batch"], *limits])
    cut = engine.largest_micro_batch < saved["micro_batch"]
    processes, world, notes = saved["processes"], engine.processes.world, list(saved["notes"])
    if len(processes) != world:
        notes.append(f"begun by {len(processes)} processes and continued by {world}")
        processes = _redistributed(processes, world)
    if begun["device"] != engine.device.type:
        notes.append(f"begun on a {NAMES[begun['device']]} and continued on a {NAMES[engine.device.type]}")
    own = processes[engine.processes.rank]
    set_random_state(own["random"], engine.device)
    state = TrainingState(**{name: saved[name] for name in TrainingState.__dataclass_fields__ if name != "losses"})
    state.begun["parallel"] = max(begun.get("parallel", 1), engine.execution.parallel)  # the pace of either part
    state.chosen = {name: Choice(**choice) for name, choice in saved["chosen"].items()}
    state.losses = Losses({name: value.to(engine.device) for name, value in own["losses"].items()})
    state.resumed, state.notes = state.resumed + 1, notes
    state.images_before_cut = state.total_images if cut else state.images_before_cut
    return state, kept


def _redistributed(processes: list[dict[str, Any]], world: int) -> list[dict[str, Any]]:
    """The part of `world` processes in the state of another number of them: the first gets all losses so far."""
    parts = [process["losses"] for process in processes]
    total = {name: torch.stack([part[name] for part in parts]).sum(dim=0) for name in parts[0]}
    randoms = [processes[rank % len(processes)]["random"] for rank in range(world)]
    return [{"losses": {} if rank else total, "random": random} for rank, random in enumerate(randoms)]
