"""The losses of an epoch: summed on the device, and checked from time to time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.distributed import Processes
from datasets.loading.sampling import batch_generator


class Diverged(Exception):  # noqa: N818 - reads as what it is
    """A loss or a logit is not finite."""

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, advice: str = "lower the learning rate"
    ) -> None:
        super().__init__(f"{message}; {advice}")
        self.details = dict(details or {})
        """Epoch and batch, counted from 1, the seed the batch was drawn from, and each loss term."""

    @classmethod
    def in_batch(cls, epoch: int, batch: int, seed: int, losses: Mapping[str, float]) -> Diverged:
        """For a loss in a batch; epoch and batch are counted from 1."""
        terms = ", ".join(f"{name} {value:.6g}" for name, value in losses.items())
        where = f"epoch {epoch}, batch {batch} (drawn from seed {seed})"
        details = {"epoch": epoch, "batch": batch, "seed": seed, "losses": dict(losses)}
        message = f"a loss is not a number in {where}: {terms}"
        if (epoch, batch) == (1, 1):
            return cls(message, details, "no step was made before it, so look at the losses and the weight file")
        return cls(message, details)


NEVER = 2**62
"""Number of a batch that does not come."""


class Losses:
    """Sums of an epoch's losses so far. They stay on the device, so that no step waits for it."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        """`sums`: those of a resumed epoch, in which no loss was bad so far."""
        self.sums: dict[str, Tensor] = dict(sums or {})
        self.latest: dict[str, Tensor] = {}
        """Latest value of each term, or its value in the first batch with a bad one."""
        self.first_bad: Tensor = torch.tensor(NEVER)
        """Number of the first batch with a loss that is not finite, or `NEVER`."""

    def add(self, batch: int, losses: Mapping[str, Tensor]) -> None:
        """Adds the float32 losses of one optimiser step of batch number `batch`."""
        finite = torch.stack(list(losses.values())).isfinite().all()
        if self.first_bad.device != finite.device:
            self.first_bad = self.first_bad.to(finite.device, non_blocking=True)
        good = self.first_bad == NEVER
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.latest[name] = torch.where(good, value, self.latest.get(name, value))
        self.first_bad = torch.where(good & ~finite, batch, self.first_bad)

    def check(self, processes: Processes, due: bool, seed: int, epoch: int) -> bool:
        """Returns what the first process says of `due`. Waits for the device.

        Raises `Diverged`, in all processes, if a loss was not finite. `seed` is the training's; `epoch` counts from 0.
        """
        first_bad = self.first_bad
        if processes.world > 1:
            vote = torch.tensor(-int(due and processes.first), device=first_bad.device)
            first_bad, vote = processes.minimum(torch.stack([first_bad, vote]))
            due = bool(vote)
        if (number := int(first_bad)) == NEVER:
            return due
        drawn_from = batch_generator(seed, epoch, number).initial_seed()
        terms = {name: processes.sum(value).item() for name, value in self.latest.items()}
        raise Diverged.in_batch(epoch + 1, number + 1, drawn_from, terms)

    def means(self, processes: Processes, batches: int) -> dict[str, float]:
        """Each loss term per batch of the epoch, even if a batch takes several steps."""
        sums = {name: processes.sum(value.clone()) for name, value in self.sums.items()}
        return {name: (value / batches).item() for name, value in sums.items()}
