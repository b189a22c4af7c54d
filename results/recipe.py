"""How a network is trained: the settings of a recipe, of its phases, optimiser and schedule."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from results.augmentation import Augment, InputScaling
from results.values.numbers import Batch, Decay, Epochs, NonNegative, Pixels, Positive, Share, Steps


class Optimizer(BaseModel, frozen=True, extra="forbid"):
    """A torch optimizer."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive
    weight_decay: NonNegative = 0.0
    momentum: Decay = 0.9
    """SGD only."""
    nesterov: bool = False
    """SGD only."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Adam and AdamW only."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        if self.nesterov and self.name == "sgd" and not self.momentum:
            raise ValueError("nesterov needs momentum: set momentum to 0.9, or nesterov to false")
        return self


class Schedule(BaseModel, frozen=True, extra="forbid"):
    """Factor on the learning rate over a phase, after a linear warm-up. Epochs count from the phase's beginning."""

    name: Literal["constant", "cosine", "linear", "step", "milestones", "exponential"] = "cosine"
    """`cosine`: half a wave, from 1 at the end of the warm-up to 0; `linear`: a straight line from there to there.
    `step`: times `gamma` every so many epochs; `milestones`: times `gamma` at each of these epochs. `exponential`:
    times `gamma` in every so many epochs, little by little."""
    warmup_epochs: NonNegative = 0.0
    every: Epochs = 1
    """Step and exponential only: epochs in which the factor becomes `gamma` times as large."""
    gamma: Annotated[Positive, Field(le=1)] = 0.1
    """Step, milestones and exponential only."""
    milestones: tuple[Epochs, ...] = ()
    """Milestones only: epochs that are over, in ascending order."""
    per: Literal["step", "epoch"] = "step"
    """How often the factor changes. `epoch`: it keeps the value of the epoch's beginning; a warm-up still goes by
    steps."""
    across_phases: bool = False
    """Whether it runs once over the whole training, rather than anew in each phase."""

    @field_validator("milestones")
    @classmethod
    def _check_order(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError("must ascend")
        return milestones


class PhaseSettings(BaseModel, frozen=True, extra="forbid"):
    """What a phase of training does differently from the recipe; the phases are the method's own."""

    epochs: Epochs | None = None
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    batch_size: Batch | None = None
    lr_scale: dict[str, Positive] = {}
    """In place of the recipe's, group by group."""


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """How to train: everything that is neither the method, nor the data, nor the backbone."""

    image_size: Pixels
    """Pixels of the square the network sees."""
    stored_size: Pixels
    """Pixels the images are resized to before the crop: both sides (`squash`) or the short one (`short_side`)."""
    resize: Literal["squash", "short_side"] = "squash"
    augment: Augment = Augment()
    scaling: InputScaling | None = None
    """In place of the scaling that the weights ask for."""
    batch_size: Batch
    epochs: Epochs | None = None
    """Of the whole training; the phases share it unless `phases` gives each its own number. With `steps`, planning
    fills in how many one process begins."""
    steps: Steps | None = None
    """Batches after which a training of one phase ends, in place of a number of epochs. Its last epoch ends with the
    last of them, and its schedule runs over them."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    phases: dict[str, PhaseSettings] = {}
    lr_scale: dict[str, Positive] = {}
    """Learning-rate factor of each of the method's parameter groups; 1 where none is given."""
    freeze: dict[str, Epochs] = {}
    """Parameter group -> number of the training's first epochs in which it does not learn. Its batch norm still takes
    each batch's statistics, unlike that of a group which the phase does not train."""
    decay_norm_and_bias: bool = True
    """Whether weight decay also holds for biases and normalisation layers."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient."""
    accumulate: Batch = 1
    """Pieces that a batch is cut into, one backward pass each; their gradients are added, weighted by their images.
    Equal to the whole batch where losses are means over images; batch norm and losses of pairs see one piece."""
    sync_batchnorm: bool = False
    """Whether batch norm takes its statistics over all processes; else each takes them of its own share."""
    validation: Annotated[Share, Field(lt=1)] = 0.1
    """Share of each class's training images held out to select an epoch; 0: train on all, and select nothing."""
    evaluate_every: Epochs = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.epochs is None and self.steps is None:
            raise ValueError("a recipe needs epochs, or steps in their place")
        return self

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        """Here, since a change to a schedule may have the name or the epochs alone."""
        for schedule in (self.schedule, *(phase.schedule for phase in self.phases.values() if phase.schedule)):
            if schedule.name == "milestones" and not schedule.milestones:
                raise ValueError(
                    "a schedule by milestones needs its epochs: set schedule.milestones, such as [60, 100]"
                )
            if schedule.name != "milestones" and schedule.milestones:
                raise ValueError(
                    f"a {schedule.name} schedule has no milestones: set schedule.name to milestones, or "
                    "schedule.milestones to []"
                )
        return self
