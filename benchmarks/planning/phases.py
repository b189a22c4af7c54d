"""The phases of a training: what learns in each, for how long, with which optimiser and schedule."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from benchmarks.errors import UserError, require_known
from datasets.loading.sampling import batches_in_epoch, drops_last
from results.recipe import PhaseSettings, Recipe

if TYPE_CHECKING:
    from methods.interface import Method, Phase


MOST = 1000
"""Epochs up to which a number that is enough is looked for."""
FORWARD_COST = 1 / 3
"""Work of a forward pass relative to forward, backward and step, for estimates of time."""


class PhasePlan:
    """One phase of a training, resolved: what learns, for how long, with which optimiser and schedule."""

    def __init__(self, phase: Phase, first: int, epochs: int, total: int, recipe: Recipe) -> None:
        """`first`: epochs of the training before it; `total`: of the whole training."""
        own = recipe.phases.get(phase.name, PhaseSettings())
        self.name = phase.name
        self.trains = phase.trains
        self.first, self.epochs, self.total = first, epochs, total
        self.optimizer = own.optimizer or recipe.optimizer
        self.schedule = own.schedule or recipe.schedule
        self.batch_size = own.batch_size or recipe.batch_size
        self.lr_scale = {**recipe.lr_scale, **own.lr_scale}
        self.freeze = recipe.freeze
        self.steps = recipe.steps

    @property
    def before(self) -> int:
        """Epochs of its schedule before it."""
        return self.first if self.schedule.across_phases else 0

    def of_schedule(self, of_epoch: int) -> float:
        """Epochs of `of_epoch` batches that its schedule runs over; a fraction counts where steps end the last."""
        return self.whole(of_epoch) if self.schedule.across_phases or self.steps else self.epochs

    def whole(self, of_epoch: int) -> float:
        """Epochs of the whole training, likewise."""
        return self.steps / of_epoch if self.steps else self.total

    def batches(self, epoch: int, of_epoch: int) -> int:
        """Batches of this epoch of the training, which are fewer than `of_epoch` where steps end the last."""
        return min(of_epoch, self.steps - epoch * of_epoch) if self.steps else of_epoch

    @property
    def without_warmup(self) -> bool:
        """Whether it is too short for the warm-up of its schedule, and begins at the whole learning rate."""
        return 0 < (self.total if self.schedule.across_phases else self.epochs) <= self.schedule.warmup_epochs

    @property
    def thaws(self) -> list[int]:
        """Epochs of the training, within this phase, from which on a frozen group learns."""
        return sorted({epoch for epoch in self.freeze.values() if self.first < epoch < self.first + self.epochs})


def with_epochs(recipe: Recipe, method: Method, images: int, processes: int = 1) -> Recipe:
    """The recipe, whose `steps` as epochs of so many training images; as it is where it gives epochs itself.

    Other processes may begin another number: they leave out a small last batch that can't be divided among them.
    Raises `UserError` for steps of several phases, and besides a phase's epochs.
    """
    if recipe.steps is None:
        return recipe
    plans = phase_plans(method, recipe)
    if not plans:
        return recipe.model_copy(update={"epochs": 1})
    if len(plans) > 1 or any(settings.epochs for settings in recipe.phases.values()):
        raise UserError(
            f"steps: a training of phases ({', '.join(plan.name for plan in plans)}) has epochs; "
            "set epochs in place of steps"
        )
    of_epoch = batches_of(method, plans[0].batch_size, images, processes)
    return recipe.model_copy(update={"epochs": -(-recipe.steps // of_epoch)})


def batches_of(method: Method, batch_size: int, images: int, processes: int = 1) -> int:
    """Batches of a method's epoch, of so many training images; at least one."""
    sampling = method.sampling
    batches = batches_in_epoch(
        images,
        batch_size,
        balanced=sampling.images_per_class is not None,
        drop_last=drops_last(images, batch_size, processes, sampling.together, sampling.drop_last),
        together=sampling.together,
    )
    return max(batches, 1)


def phase_plans(method: Method, recipe: Recipe) -> list[PhasePlan]:
    """The method's phases with their epochs: as the recipe gives them, otherwise as shares of the recipe's total.

    Each phase gets at least one epoch, and shared epochs add up to the total. Raises `UserError` for a phase in the
    recipe that the method does not have, and for fewer epochs than phases. How many epochs are in a recipe's steps is
    known once `with_epochs` has filled them in; until then each phase has one.
    """
    phases = method.phases()
    budget = len(phases) if recipe.epochs is None else recipe.epochs
    for name in recipe.phases:
        require_known("phase", name, [phase.name for phase in phases])
    given = {name: settings.epochs for name, settings in recipe.phases.items() if settings.epochs}
    left = budget - sum(given.values())
    shared = [phase for phase in phases if phase.name not in given]
    if shared and left < len(shared):
        raise UserError(
            f"epochs: {budget} is too few for the phases of {type(method).__name__} "
            f"({', '.join(phase.name for phase in phases)}), each at least one epoch; "
            f"set epochs to {budget - left + len(shared)} or more"
        )
    shares, due, used = sum(phase.share for phase in shared), 0.0, 0
    total = sum(given.values()) + (left if shared else 0)
    plans: list[PhasePlan] = []
    for phase in phases:
        if phase.name in given:
            epochs = given[phase.name]
        else:  # rounding the running total keeps the sum equal to the budget
            due += phase.share / shares * left
            shared.remove(phase)
            epochs = min(max(round(due) - used, 1), left - used - len(shared))
            used += epochs
        first = plans[-1].first + plans[-1].epochs if plans else 0
        plans.append(PhasePlan(phase, first, epochs, total, recipe))
    return plans


def too_short(method: Method, recipe: Recipe) -> str | None:
    """Which phases are too short for their warm-up, and how many epochs are enough, in words; None if none is."""
    plans = phase_plans(method, recipe)
    short = [plan for plan in plans if plan.without_warmup]
    if not short:
        return None
    which = [f"phase {plan.name}, {plan.epochs} of {sum(one.epochs for one in plans)}" for plan in short]
    told = " and ".join(which) if len(plans) > 1 else f"epochs: {plans[0].epochs}"
    more = (recipe.model_copy(update={"epochs": epochs}) for epochs in range((recipe.epochs or 0) + 1, MOST))
    enough = next(
        (one.epochs for one in more if not any(plan.without_warmup for plan in phase_plans(method, one))), None
    )
    hint = f"; {enough} epochs or more are enough" if enough else ""
    return f"too few epochs for a warm-up of {short[0].schedule.warmup_epochs:g}, which is left out ({told}){hint}"


def never_thawed(method: Method, recipe: Recipe) -> str | None:
    """Which groups are frozen in all epochs in which they would learn, in words; None if none is."""
    groups = groups_of_stand_in(method)
    last = {
        name: plan.first + plan.epochs
        for plan in phase_plans(method, recipe)
        for name in (groups if plan.trains is None else plan.trains)
    }
    never = [name for name, epochs in recipe.freeze.items() if epochs >= last.get(name, epochs + 1)]
    if not never:
        return None
    which = ", ".join(f"{name} for {recipe.freeze[name]} of {last[name]} epochs" for name in never)
    return f"frozen to the end, so it never learns: {which}; lower freeze, or train for longer"


def groups_of_stand_in(method: Method) -> list[str]:
    """Names of the parameter groups of a method that was built without a backbone."""
    return list(dict.fromkeys(["backbone", *method.parameter_groups()]))


def require_groups(plan: PhasePlan, groups: Collection[str]) -> None:
    """Raises `UserError` for a setting of a parameter group that the method does not have, and if nothing would learn
    in a phase's first epoch because all of it is frozen.

    Learning-rate factors of `backbone` and `head` are always accepted: recipes give them for every method.
    """
    for name in plan.lr_scale:
        if name not in ("backbone", "head"):
            require_known("parameter group in lr_scale", name, groups)
    for name in plan.freeze:
        require_known("parameter group in freeze", name, groups)
    trained = groups if plan.trains is None else plan.trains
    if trained and all(plan.freeze.get(name, 0) > plan.first for name in trained):
        raise UserError(
            f"freeze leaves nothing to learn in epoch {plan.first + 1} (phase {plan.name}); "
            f"take {'one of ' if len(trained) > 1 else ''}{', '.join(trained)} out of it"
        )
