"""A training with a budget of steps ends with the last of them, in the epoch that it falls into."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.estimates import images
from benchmarks.planning import recipes
from benchmarks.training.train import Trainer
from tests.helpers.small_training import Interrupts, equal, outcome, small_run, train

SGD: dict[str, Any] = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"warmup_epochs": 0}}


def of_steps(steps: int, method: str = "plain", **changes: Any) -> Any:
    """18 images: epochs of four batches of 5, 5, 5 and 3."""
    return small_run(method, epochs=None, steps=steps, **SGD, **changes)


def test_the_last_epoch_ends_with_the_last_step_and_the_schedule_runs_over_the_steps(tmp_path: Path) -> None:
    rows = train(of_steps(6), tmp_path).state.history
    assert [row["images"] for row in rows] == [18, 10]
    last_of_epochs = [0.05 * (1 + math.cos(math.pi * step / 6)) for step in (3, 5)]
    assert [row["lr"] for row in rows] == pytest.approx(last_of_epochs)
    assert all("test_top1" in row for row in rows)


def test_steps_that_fill_their_epochs_train_as_the_epochs_do(tmp_path: Path) -> None:
    by_epochs = outcome(train(small_run(epochs=2, **SGD), tmp_path / "epochs"))
    assert equal(outcome(train(of_steps(8), tmp_path / "steps")), by_epochs)


def test_a_training_by_steps_is_resumed_anywhere_with_the_same_bits(tmp_path: Path) -> None:
    whole = outcome(train(of_steps(7), tmp_path / "whole"))
    (tmp_path / "cut").mkdir()
    each_batch, ended = Environment(execution=Execution(checkpoint_seconds=0)), None
    while ended is None:
        with suppress(KeyboardInterrupt):
            ended = Trainer(of_steps(7), each_batch, tmp_path / "cut", Interrupts(2)).train()
    assert ended.state.resumed > 3
    assert equal(outcome(ended), whole)


@pytest.mark.parametrize(("steps", "epochs", "learnt"), [(1, 1, 5), (4, 1, 18), (5, 2, 23), (8, 2, 36), (10, 3, 46)])
def test_planning_knows_epochs_and_images_of_steps(steps: int, epochs: int, learnt: int) -> None:
    run = of_steps(steps)
    assert run.recipe.epochs == epochs
    assert images.of_run(run, Environment()).learnt == learnt


def test_a_later_budget_takes_the_place_of_an_earlier_one() -> None:
    by_steps = recipes.recipe_for("plain", "paper", "common", "synthetic", "", {"steps": 10})
    assert (by_steps.steps, by_steps.epochs) == (10, None)
    by_epochs = recipes.recipe_for("plain", "paper", "common", "synthetic", "", {"steps": 10}, {"epochs": 3})
    assert (by_epochs.steps, by_epochs.epochs) == (None, 3)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("plain", {"epochs": 2, "steps": 8}, "epochs and steps are two budgets of one training; set one of them"),
        ("plain", {"epochs": None}, "a recipe needs epochs, or steps in their place"),
        ("bilinear_cnn", {"epochs": None, "steps": 8}, r"steps: a training of phases \(classifier, all\) has epochs"),
    ],
)
def test_budgets_that_contradict_each_other_are_refused(method: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_run(method, **changes)
