"""The factors on the learning rate are those of the formulas and of torch's own schedulers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

from benchmarks.errors import UserError
from benchmarks.planning import recipes
from benchmarks.training.optim import lr_factor
from results.recipe import Recipe, Schedule
from tests.helpers.small_training import small_run, train

EPOCHS, BATCHES = 12, 5
OF_TORCH: dict[str, tuple[Schedule, Callable[[torch.optim.Optimizer], LRScheduler]]] = {
    "step": (Schedule(name="step", every=5, gamma=0.2), lambda sgd: StepLR(sgd, 5, 0.2)),
    "milestones": (Schedule(name="milestones", milestones=(3, 4, 9)), lambda sgd: MultiStepLR(sgd, [3, 4, 9])),
    "exponential": (Schedule(name="exponential", gamma=0.9, per="epoch"), lambda sgd: ExponentialLR(sgd, 0.9)),
    "cosine": (Schedule(per="epoch"), lambda sgd: CosineAnnealingLR(sgd, EPOCHS)),
    "linear": (Schedule(name="linear", per="epoch"), lambda sgd: PolynomialLR(sgd, EPOCHS, power=1.0)),
}
"""Of a learning rate of 1."""


def recipe(**overrides: object) -> Recipe:
    return recipes.recipe_for("plain", "paper", "common", "synthetic", "test_resnet", overrides)


@pytest.mark.parametrize("name", OF_TORCH)
def test_a_schedule_by_epochs_is_that_of_torch_in_every_batch(name: str) -> None:
    schedule, of_torch = OF_TORCH[name]
    sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = of_torch(sgd)
    for epoch in range(EPOCHS):
        factors = [lr_factor(schedule, EPOCHS, epoch + batch / BATCHES) for batch in range(BATCHES)]
        assert factors == pytest.approx([sgd.param_groups[0]["lr"]] * BATCHES, rel=1e-6)
        sgd.step()
        scheduler.step()


def test_a_schedule_by_steps_is_that_of_torch_stepped_after_each_batch() -> None:
    steps, every = EPOCHS * BATCHES, 2
    alike: list[tuple[Schedule, Callable[[torch.optim.Optimizer], LRScheduler]]] = [
        (Schedule(), lambda sgd: CosineAnnealingLR(sgd, steps)),
        (Schedule(name="linear"), lambda sgd: LinearLR(sgd, 1.0, 0.0, steps)),
        (
            Schedule(name="exponential", gamma=0.9, every=every),
            lambda sgd: ExponentialLR(sgd, 0.9 ** (1 / (every * BATCHES))),
        ),
    ]
    for schedule, of_torch in alike:
        sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = of_torch(sgd)
        for step in range(steps):
            assert sgd.param_groups[0]["lr"] == pytest.approx(lr_factor(schedule, EPOCHS, step / BATCHES), abs=1e-6)
            sgd.step()
            scheduler.step()


def test_schedules_follow_their_formulas() -> None:
    cosine = Schedule(name="cosine", warmup_epochs=2)
    assert lr_factor(cosine, 10, 0.0) < 0.01
    assert lr_factor(cosine, 10, 1.0) == pytest.approx(0.5, abs=1e-3)
    assert lr_factor(cosine, 10, 2.0) == pytest.approx(1.0)
    assert lr_factor(cosine, 10, 6.0) == pytest.approx(0.5)
    assert lr_factor(cosine, 10, 10.0) == pytest.approx(0.0)
    step = Schedule(name="step", every=2, gamma=0.9)
    assert [lr_factor(step, 9, epoch) for epoch in (0, 1.9, 2, 4.5)] == pytest.approx([1, 1, 0.9, 0.81])
    assert lr_factor(Schedule(name="constant"), 5, 3.3) == 1.0


def test_a_warm_up_longer_than_the_phase_is_left_out() -> None:
    assert lr_factor(Schedule(name="cosine", warmup_epochs=5), 3, 0.0) == pytest.approx(1.0)


def test_a_warm_up_goes_by_steps_where_the_schedule_goes_by_epochs() -> None:
    schedule = Schedule(warmup_epochs=1.5, per="epoch")
    rising = [lr_factor(schedule, 10, progress) for progress in (0.0, 0.5, 1.0, 1.25)]
    assert rising == pytest.approx([0, 1 / 3, 2 / 3, 5 / 6], abs=1e-3)
    assert lr_factor(schedule, 10, 1.75) == 1.0  # its first whole epoch is not over the warm-up's end
    assert lr_factor(schedule, 10, 2.75) == lr_factor(schedule, 10, 2.0) < 1


@pytest.mark.parametrize("across", [True, False])
def test_a_schedule_runs_over_the_whole_training_or_anew_in_each_phase(across: bool, tmp_path: Path) -> None:
    schedule = {"name": "exponential", "gamma": 0.5, "warmup_epochs": 0, "per": "epoch", "across_phases": across}
    phases = {"classifier": {"epochs": 2}}
    settings: dict[str, Any] = {"schedule": schedule, "phases": phases, "optimizer": {"name": "sgd", "lr": 0.01}}
    rows = train(small_run("bilinear_cnn", epochs=4, **settings), tmp_path).state.history
    expected = [1, 0.5, 0.25, 0.125] if across else [1, 0.5, 1, 0.5]
    assert [row["lr"] / 0.01 for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"name": "milestones"}, "needs its epochs: set schedule.milestones"),
        ({"milestones": [3]}, "a cosine schedule has no milestones: set schedule.name to milestones, or"),
        ({"name": "milestones", "milestones": [5, 3]}, "schedule.milestones: must ascend"),
    ],
)
def test_milestones_that_contradict_the_schedule_are_refused_in_one_line(
    schedule: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        recipe(schedule=schedule)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
