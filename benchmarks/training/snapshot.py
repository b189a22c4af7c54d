"""All that a training is between two batches: taken for a checkpoint, and put back."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.training.engine import Engine
from benchmarks.training.numerics import random_state, set_random_state
from benchmarks.training.state import Losses, Progress


def take(engine: Engine, progress: Progress, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Containers, numbers and tensors. Of several processes all must take it, and have the first one's buffers."""
    losses = {name: value.cpu() for name, value in progress.losses.sums.items()}
    return {
        **progress.state(),
        "method": engine.method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "processes": engine.processes.gather({"losses": losses, "random": random_state(engine.device)}),
        "limit": engine.limit,
        "micro_batch": engine.micro_batch,
    }


def put_back(state: dict[str, Any], engine: Engine) -> Progress:
    """Gives method and random generators what `take` found; the optimiser's part is left to its phase.

    Raises `RuntimeError` if the method has other weights, some of which may then be changed.
    """
    engine.method.load_state_dict(state["method"])
    engine.limit = min((limit for limit in (engine.limit, state["limit"]) if limit is not None), default=None)
    had = state.get("micro_batch", 0)  # which an older checkpoint does not say
    engine.micro_batch = had if engine.limit is None else min(had, engine.limit)
    processes, notes = state["processes"], []
    if (before := len(processes)) != engine.processes.world:
        notes = [f"begun by {before} processes and continued by {engine.processes.world}"]
        processes = _anew(processes, engine.processes.world)
    own = processes[engine.processes.rank]
    set_random_state(own["random"], engine.device)
    progress = Progress.of(state, Losses({name: value.to(engine.device) for name, value in own["losses"].items()}))
    progress.resumed += 1
    progress.notes += notes
    return progress


def _anew(processes: list[dict[str, Any]], world: int) -> list[dict[str, Any]]:
    """What `world` processes go on from where another number of them stopped: the first has all losses so far."""
    parts = [process["losses"] for process in processes]
    total = {name: torch.stack([part[name] for part in parts]).sum(dim=0) for name in parts[0]}
    randoms = [processes[rank % len(processes)]["random"] for rank in range(world)]
    return [{"losses": {} if rank else total, "random": random} for rank, random in enumerate(randoms)]
