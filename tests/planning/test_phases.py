"""A plan says where a training has too few epochs for its method's phases and their warm-up."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, method_checks
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite

BIRDS = {"name": "synthetic", "options": {"classes": 3, "train_per_class": 2, "test_per_class": 1}}
BACKBONE = {"name": "test_resnet", "pretrained": "none"}


def told(*methods: str, **recipe: Any) -> list[str]:
    entry = {"methods": list(methods), "datasets": [BIRDS], "backbones": [BACKBONE], "seeds": 2}
    plan = Suite.model_validate({"about": "", "train": [entry]})
    return method_checks.short_phases(expand.expand(plan, Environment(), Changes(set={"recipe": recipe})))


def test_phases_that_are_all_warm_up_are_told_once_for_all_methods_and_seeds_with_what_is_enough() -> None:
    assert told("plain", "sef", epochs=1) == [
        "plain, sef: too few epochs for a warm-up of 1, which is left out (epochs: 1); 2 epochs or more are enough"
    ]
    (line,) = told("plain", "bilinear_cnn", epochs=3)
    assert line.startswith(
        "bilinear_cnn: too few epochs for a warm-up of 1, which is left out (phase classifier, 1 of 3)"
    )
    assert line.endswith("; 5 epochs or more are enough")
    assert told("bilinear_cnn", epochs=5) == []


def test_a_recipe_without_warm_up_is_never_too_short_and_one_with_phases_of_its_own_has_no_hint() -> None:
    assert told("plain", "bilinear_cnn", epochs=2, schedule={"warmup_epochs": 0}) == []
    phases = {"classifier": {"epochs": 1}, "all": {"epochs": 1}}
    (line,) = told("bilinear_cnn", phases=phases)
    assert line.endswith("(phase classifier, 1 of 2 and phase all, 1 of 2)")


def test_fewer_epochs_than_phases_can_not_be_trained() -> None:
    with pytest.raises(UserError, match="set epochs to 2 or more"):
        told("bilinear_cnn", epochs=1)
