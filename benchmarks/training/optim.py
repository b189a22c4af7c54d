"""The optimiser and learning rate of a phase as recipe and method define them, and the steps of a batch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.errors import require_known
from benchmarks.planning.phases import PhasePlan, require_groups
from benchmarks.training.compiling.compile import begin_step
from benchmarks.training.networks.build_method import autocast
from methods.interface import Gather, Method, alone
from results.recipe import Optimizer, Recipe, Schedule


def select_trainable(method: Method, plan: PhasePlan, epoch: int = 0) -> None:
    """Lets the phase's groups learn in this epoch of the training, but for those that are frozen in it.

    Modules in which the phase trains nothing go to evaluation mode (fixed batch norm); those of a frozen group don't.
    """
    groups = method.parameter_groups()
    trained = _trained(groups, plan)
    for name, parameters in groups.items():
        for parameter in parameters:
            parameter.requires_grad_(name in trained and epoch >= plan.freeze.get(name, 0))
    method.train()
    learning = {id(parameter) for parameters in trained.values() for parameter in parameters}
    for module in method.modules():
        parameters = list(module.parameters())
        if parameters and not any(id(parameter) in learning for parameter in parameters):
            module.eval()


def _trained(groups: dict[str, list[nn.Parameter]], plan: PhasePlan) -> dict[str, list[nn.Parameter]]:
    """The groups that the phase trains. Raises `UserError` for one that the method does not have."""
    if plan.trains is None:
        return groups
    names = [require_known("parameter group", name, groups) for name in plan.trains]
    return {name: parameters for name, parameters in groups.items() if name in names}


def build_optimizer(method: Method, plan: PhasePlan, recipe: Recipe) -> torch.optim.Optimizer:
    """An optimiser over the parameters that the phase trains, each group with its own learning rate and weight decay.

    Those of a frozen group are among them. Without gradients they have no momentum, and no weight decay either.
    """
    settings = plan.optimizer
    groups = method.parameter_groups()
    require_groups(plan, groups)
    param_groups = []
    for name, parameters in _trained(groups, plan).items():
        for decays in (True, False):
            members = [p for p in parameters if (p.ndim > 1 or recipe.decay_norm_and_bias) == decays]
            if members:
                param_groups.append(
                    {
                        "params": members,
                        "lr": settings.lr * plan.lr_scale.get(name, 1.0),
                        "weight_decay": settings.weight_decay if decays else 0.0,
                    }
                )
    return _build(settings, param_groups)


def _build(settings: Optimizer, param_groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    fused = all(parameter.is_cuda for group in param_groups for parameter in group["params"])
    if settings.name == "sgd":
        return torch.optim.SGD(
            param_groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(param_groups, lr=settings.lr, betas=settings.betas, fused=fused)


def lr_factor(schedule: Schedule, epochs: float, progress: float) -> float:
    """Factor on the learning rate after `progress` epochs (a fraction counts) of a schedule over `epochs`."""
    warmup = schedule.warmup_epochs if schedule.warmup_epochs < epochs else 0.0
    if progress < warmup:
        return (progress + 1e-3) / warmup
    if schedule.per == "epoch":
        progress = math.floor(progress)
    return _factor_after_warmup(schedule, progress, max(progress - warmup, 0.0) / max(epochs - warmup, 1e-9))


def _factor_after_warmup(schedule: Schedule, progress: float, over: float) -> float:
    """`over`: the share of what comes after the warm-up."""
    match schedule.name:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * over))
        case "linear":
            return 1 - over
        case "step":
            return schedule.gamma ** (int(progress) // schedule.every)
        case "milestones":
            return schedule.gamma ** bisect_right(schedule.milestones, progress)
        case "exponential":
            return schedule.gamma ** (progress / schedule.every)
    return 1.0


def take_steps(
    method: Method,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer | None,
    precision: str,
    clip_norm: float | None = None,
    *,
    pieces: Sequence[int] = (),
    share: float = 1.0,
    exchange: Callable[[Method], None] | None = None,
    gather: Gather = alone,
) -> Iterator[dict[str, Tensor]]:
    """Takes the optimiser steps of one batch; yields the detached float32 losses of each.

    The images are cut into `pieces` of these sizes, if any are given. Losses and gradients of pieces are added, each
    weighted by its part of the images: a mean over images is that of the whole batch, but batch norm and losses of
    pairs see one piece at a time. `share`: the part of the batch that these images are, if processes share it;
    `exchange` then sums their gradients, and `gather` is given to the method's `after_step`.
    Without an optimiser, everything but its own step is done.

    Training, profiling and speed benchmarks all use this function, so what is timed is what trains.
    """
    sizes = list(pieces) or [len(images)]
    cut = list(zip(images.split(sizes), labels.split(sizes), strict=True))
    weights = [share * len(piece) / len(images) for piece, _ in cut]
    generators = [method.steps(*piece) for piece in cut]
    while True:
        method.zero_grad(set_to_none=True)
        begin_step(method)  # once for all pieces: their gradients are added up
        taken: dict[str, Tensor] = {}
        for steps, weight in zip(generators, weights, strict=True):
            with autocast(images.device, precision):
                losses = next(steps, None)
            if losses is None:
                return
            (weight * torch.stack([value.float() for value in losses.values()]).sum()).backward()
            for name, value in losses.items():
                taken[name] = taken.get(name, torch.zeros((), device=value.device)) + weight * value.detach().float()
        if exchange is not None:
            exchange(method)
        clip(method, clip_norm)
        if optimizer is not None:
            optimizer.step()
        with torch.no_grad():
            method.after_step(gather)
        yield taken


def clip(method: nn.Module, norm: float | None) -> None:
    """Scales the whole gradient down to `norm`, if given; does not wait for the device."""
    if norm is not None:
        torch.nn.utils.clip_grad_norm_(method.parameters(), norm)
