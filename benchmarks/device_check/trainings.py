"""Short trainings on a few drawn images: whether they repeat themselves, and go on after memory ran out."""

from __future__ import annotations

import gc
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.device_check.finding import Finding, not_run
from benchmarks.device_check.networks import small_network
from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.estimates.memory import GIB
from benchmarks.planning import expand
from benchmarks.planning.suite import Suite
from benchmarks.profiling import memory
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.device import ran_out_of_memory
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from results.settings import Run

SHARE = 0.6
"""Of the memory that a training takes, what it is left with to see whether it goes on."""


def check_determinism(method: str, device: str) -> Finding:
    """Trains twice with `--deterministic`, which promises the same bits. Without it, a GPU may give others."""
    run = short_run(method)
    strict = [trained(run, device, Execution(deterministic=True)) for _ in range(2)]
    apart = furthest(*strict)
    if apart:
        return Finding("wrong", f"weights differ by up to {apart:.0e} with --deterministic", {"strict": apart})
    if device == "cpu":
        return Finding("ok", "the same bits twice", {"strict": apart})
    free = furthest(*(trained(run, device, Execution()) for _ in range(2)))
    told = f"weights differ by up to {free:.0e}" if free else "the same bits too"
    return Finding("ok", f"the same bits twice; without --deterministic {told}", {"strict": apart, "free": free})


def furthest(left: TrainingResult, right: TrainingResult) -> float:
    """The largest difference of two trainings' weights; 0 if they are the same, bit for bit. NaN differs infinitely."""
    states = (dict(each.method.state_dict()) for each in (left, right))
    one, other = ({name: value.cpu() for name, value in state.items()} for state in states)
    return max(0.0 if torch.equal(value, other[name]) else _apart(value, other[name]) for name, value in one.items())


def _apart(value: Tensor, other: Tensor) -> float:
    return (value.double() - other.double()).abs().nan_to_num(nan=math.inf).max().item()


def check_recovery(device: str) -> Finding:
    """Trains on a GPU to see how much memory it takes, and again with less: it must end all the same, and say so."""
    run = short_run("plain", image_size=224, batch_size=96, images=48)
    on_device = torch.device(device)
    trained(run, device, Execution())
    most = torch.cuda.max_memory_reserved(on_device)
    gc.collect()
    torch.cuda.empty_cache()
    limit = int(SHARE * most)
    numbers = {"needed_bytes": most, "limit_bytes": limit}
    try:
        with memory.limited(on_device, limit):
            done = trained(run, device, Execution())
    except (RuntimeError, UserError) as error:
        if isinstance(error, RuntimeError) and not ran_out_of_memory(error):
            raise
        return Finding("wrong", f"the training ended for lack of memory ({limit / GIB:.2f} GiB): {error}", numbers)
    told = [note for note in done.state.notes if "memory" in note]
    if not told:
        return not_run(f"memory did not run out with {limit / GIB:.2f} GiB")
    return Finding("ok", "; ".join(told), numbers)


def short_run(method: str, image_size: int = 32, batch_size: int = 8, images: int = 8) -> Run:
    """Two epochs on drawn images of three classes, `images` of each."""
    network = small_network(method)
    drawn = {"classes": 3, "train_per_class": images, "test_per_class": 4, "size": image_size}
    recipe = {"image_size": image_size, "stored_size": image_size, "batch_size": batch_size}
    entry: dict[str, Any] = {
        "methods": [method],
        "datasets": [{"name": "synthetic", "options": drawn}],
        "backbones": [{"name": network.name, "pretrained": network.weights, "options": dict(network.options)}],
        "set": {"recipe": {**recipe, "epochs": 2, "validation": 0.0}},
    }
    run = expand.expand(Suite.model_validate({"about": "check-device", "train": [entry]}), Environment())[0]
    assert isinstance(run, Run)
    return run


def trained(run: Run, device: str, execution: Execution) -> TrainingResult:
    """The training, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fgbench-") as folder:
        return Trainer(run, Environment(device=device, execution=execution), Path(folder), Silent()).train()
