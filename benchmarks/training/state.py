"""How far a training has come: all that grows while it runs and is kept in its checkpoint, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.selection import Choice
from results.record import Selection


class Diverged(Exception):  # noqa: N818 - reads as what it is
    """A loss or a logit stopped being a number."""

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, advice: str = "lower the learning rate"
    ) -> None:
        super().__init__(f"{message}; {advice}")
        self.details = dict(details or {})
        """Epoch and batch, counted from 1, the seed from which the batch was drawn, and each loss term."""

    @classmethod
    def in_batch(cls, epoch: int, batch: int, seed: int, losses: Mapping[str, float]) -> Diverged:
        """In a batch; epoch and batch are counted from 1."""
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
    """The losses of an epoch so far. They stay on the device, so that no step waits for it."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        """`sums`: of an epoch that is taken up; on its way it had no bad batch."""
        self.sums: dict[str, Tensor] = dict(sums or {})
        self.latest: dict[str, Tensor] = {}
        """Each term as it was last, up to the first that was not a number."""
        self.first_bad: Tensor = torch.tensor(NEVER)
        """Number of the batch in which one was not a number, or `NEVER`."""

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


@dataclass
class Progress:
    """How far a training has come."""

    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Batches done of the epoch that is on."""
    losses: Losses = field(default_factory=Losses)
    """Of the epoch that is on."""
    images: int = 0
    """Trained on in the epoch that is on."""
    epoch_seconds: float = 0.0
    """Of training in the epoch that is on."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A row for each whole epoch."""
    chosen: dict[Selection, Choice] = field(default_factory=dict)
    seconds: float = 0.0
    """Of the whole training, evaluations and checkpoints included."""
    resumed: int = 0
    """How many times it went on from a checkpoint."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the result should know of how it came about."""

    @property
    def images_in_all(self) -> int:
        """Trained on since the beginning, those of the epoch that is on among them."""
        return self.images + sum(row["images"] for row in self.history)

    def epoch_ends(self, row: dict[str, Any]) -> None:
        """Puts the epoch's row into the history and begins the next."""
        self.history.append(row)
        self.epoch += 1
        self.batch, self.images, self.epoch_seconds, self.losses = 0, 0, 0.0, Losses()

    def state(self) -> dict[str, Any]:
        """For a checkpoint, all but the losses: each process has its own."""
        chosen = {name: vars(choice) for name, choice in self.chosen.items()}
        return {name: value for name, value in vars(self).items() if name != "losses"} | {"chosen": chosen}

    @classmethod
    def of(cls, state: Mapping[str, Any], losses: Losses) -> Progress:
        """From what `state()` gave, with the losses of the epoch that is on; else in `state` is left alone."""
        values = {name: state[name] for name in cls.__dataclass_fields__ if name != "losses"}
        chosen = {name: Choice(**choice) for name, choice in state["chosen"].items()}
        return cls(**values | {"chosen": chosen, "losses": losses})
