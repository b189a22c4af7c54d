"""How exactly a device computes, and the state of its random numbers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


@contextlib.contextmanager
def numerics(precision: str, deterministic: bool = False) -> Iterator[None]:
    """Within, float32 is as exact as `precision` says, and a GPU repeats itself if `deterministic`.

    Then an operation that a GPU can't repeat raises `RuntimeError`.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cudnn.allow_tf32 = precision == "tf32"  # torch's own default is yes
    cudnn.benchmark = not deterministic  # the fastest convolution is found by trying, which may end either way
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Lets methods draw from a stream of their own in each epoch and each process."""
    # A key that ends in 0 would count as one without it, and (number,) is a batch's.
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=(rank, 1) if rank else ())
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 2))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Of the generators that methods draw from: torch's on the host, and the GPU's."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Lets them draw on from what `random_state` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
