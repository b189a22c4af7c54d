"""How a Run is carried out on this machine: choices of speed and safety, which are no part of its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Execution:
    """Choices that leave a result as it is, up to rounding; what a Run's record must say of them is in `Trained`."""

    compile: bool = False
    """Whether losses and forward passes go through torch.compile. A method's own draws are then other ones."""
    deterministic: bool = False
    """Whether a GPU must give the same bits each time; an operation that can't is an error. A CPU always does."""
    micro_batch: int | Literal["auto"] | None = None
    """Images that one backward pass takes at the most; a larger batch is cut and its gradients are added. `auto`: as
    many as fit. Batch norm takes its statistics from what it is given at once: a batch that is cut changes them."""
    checkpoint_seconds: float = 60.0
    """Between two checkpoints within an epoch; each end of an epoch has one besides."""
    tensorboard: bool = False
    """Whether scalars are also written for TensorBoard, into the Run's folder."""
