"""Phases, parameter groups and learning rates are those of recipe and method."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import methods
from benchmarks.errors import UserError
from benchmarks.planning import recipes
from benchmarks.planning.phases import phase_plans
from benchmarks.training.optim import build_optimizer, clip, select_trainable
from methods.backbones import TimmBackbones
from methods.interface import Method
from results.recipe import Recipe


def recipe(**overrides: object) -> Recipe:
    return recipes.recipe_for("bilinear_cnn", "paper", "common", "synthetic", "test_resnet", overrides)


def bilinear() -> Method:
    return methods.load("bilinear_cnn")(TimmBackbones("test_resnet", 64), 3)


@pytest.mark.parametrize("epochs", [2, 3, 10, 31])
def test_phases_share_the_epochs_of_the_recipe(epochs: int) -> None:
    plans = phase_plans(bilinear(), recipe(epochs=epochs))
    assert sum(plan.epochs for plan in plans) == epochs
    assert all(plan.epochs >= 1 for plan in plans)


def test_fewer_epochs_than_phases_are_refused() -> None:
    with pytest.raises(UserError, match="too few"):
        phase_plans(bilinear(), recipe(epochs=1))


def test_a_phase_may_have_its_own_rates_and_gradients_are_cut_to_their_norm() -> None:
    settings = recipe(lr_scale={"head": 2}, phases={"classifier": {"lr_scale": {"head": 5}}}, clip_norm=1.0)
    assert [plan.lr_scale["head"] for plan in phase_plans(bilinear(), settings)] == [5, 2]
    layer = nn.Linear(4, 1, bias=False)
    (100 * layer(torch.ones(1, 4))).sum().backward()
    clip(layer, settings.clip_norm)
    assert layer.weight.grad is not None
    assert layer.weight.grad.norm().item() == pytest.approx(1, rel=1e-4)


def test_a_recipe_may_give_each_phase_its_own_epochs() -> None:
    plans = phase_plans(bilinear(), recipe(epochs=9, phases={"classifier": {"epochs": 5, "batch_size": 7}}))
    assert [(plan.name, plan.epochs) for plan in plans] == [("classifier", 5), ("all", 4)]
    assert plans[0].batch_size == 7


def test_a_phase_that_the_method_does_not_have_is_an_error() -> None:
    with pytest.raises(UserError, match="did you mean 'classifier'"):
        phase_plans(bilinear(), recipe(phases={"clasifier": {"epochs": 1}}))


def test_what_does_not_learn_keeps_its_batch_norm_statistics() -> None:
    method = bilinear()
    first, second = phase_plans(method, recipe())
    select_trainable(method, first)
    norms = [module for module in method.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert [name for name, p in method.named_parameters() if p.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]
    select_trainable(method, second)
    assert all(norm.training for norm in norms)
    assert all(parameter.requires_grad for parameter in method.parameters())


def test_groups_have_their_own_rates_and_norms_no_decay() -> None:
    method = methods.load("plain")(TimmBackbones("test_resnet", 64), 3)
    settings = recipe(optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.5}, lr_scale={"head": 10})
    (plan,) = phase_plans(method, settings)
    select_trainable(method, plan)
    optimizer = build_optimizer(method, plan, settings)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(of) == len(list(method.parameters()))
    assert of[id(method.head.weight)]["lr"] == pytest.approx(1.0)
    assert of[id(method.head.weight)]["weight_decay"] == 0.5
    assert of[id(method.head.bias)]["weight_decay"] == 0.0
    backbone = next(p for p in method.backbone.parameters() if p.ndim == 4)
    assert of[id(backbone)]["lr"] == pytest.approx(0.1)
