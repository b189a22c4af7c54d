"""How far a training has come: all that grows while it runs and is kept in its checkpoint, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from results.record import Selection


class Diverged(Exception):  # noqa: N818 - reads as what it is
    """A loss or a logit stopped being a number."""

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{message}; lower the learning rate")
        self.details = dict(details or {})
        """Epoch and batch, counted from 1, the seed from which the batch was drawn, and each loss term."""


@dataclass
class Choice:
    """The test logits of one epoch's weights, and why that epoch was chosen."""

    epoch: int
    logits: Tensor
    """(N, K) float32, over the whole test set in its order."""
    score: tuple[float, ...]
    """What the choice was made by, larger is better."""

    def better_than(self, other: Choice | None) -> bool:
        """Strictly: of equal epochs the earlier one stays."""
        return other is None or self.score > other.score


class Losses:
    """The losses of an epoch so far. They stay on the device, so that no step waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.latest: dict[str, Tensor] = {}
        """Each term as it was last, up to the first that was not a number."""
        self.first_bad: Tensor = torch.tensor(-1)
        """Number of the batch in which one was not a number; -1: none was."""

    def add(self, batch: int, losses: Mapping[str, Tensor]) -> None:
        """Adds the float32 losses of one optimiser step of batch number `batch`."""
        finite = torch.stack(list(losses.values())).isfinite().all()
        if self.first_bad.device != finite.device:
            self.first_bad = self.first_bad.to(finite.device, non_blocking=True)
        good = self.first_bad < 0
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.latest[name] = torch.where(good, value, self.latest.get(name, value))
        self.first_bad = torch.where(good & ~finite, batch, self.first_bad)

    def means(self, batches: int) -> dict[str, float]:
        """Of each term per batch, also where a batch makes several steps. Waits for the device."""
        return {name: (value / batches).item() for name, value in self.sums.items()}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: the sums, on the host."""
        return {name: value.cpu() for name, value in self.sums.items()}

    @classmethod
    def of(cls, state: Mapping[str, Tensor], device: torch.device) -> Losses:
        """As they were when `state` was taken: an epoch that was on its way had no bad batch yet."""
        losses = cls()
        losses.sums = {name: value.to(device) for name, value in state.items()}
        return losses


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

    def epoch_ends(self, row: dict[str, Any]) -> None:
        """Puts the epoch's row into the history and begins the next."""
        self.history.append(row)
        self.epoch += 1
        self.batch, self.images, self.epoch_seconds, self.losses = 0, 0, 0.0, Losses()

    def state(self) -> dict[str, Any]:
        """For a checkpoint: containers, numbers and tensors on the host."""
        chosen = {name: vars(choice) for name, choice in self.chosen.items()}
        return {**vars(self), "losses": self.losses.state(), "chosen": chosen}

    @classmethod
    def of(cls, state: Mapping[str, Any], device: torch.device) -> Progress:
        """From what `state()` gave; anything else in it is left alone."""
        values = {name: state[name] for name in cls.__dataclass_fields__}
        values["losses"] = Losses.of(values["losses"], device)
        values["chosen"] = {name: Choice(**choice) for name, choice in values["chosen"].items()}
        return cls(**values)
