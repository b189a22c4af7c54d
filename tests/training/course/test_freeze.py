"""A group that is frozen in the first epochs does not learn in them, and learns afterwards as if it had just begun."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.planning import method_checks
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from tests.helpers.small_training import Interrupts, equal, outcome, small_run, train

SGD: dict[str, Any] = {
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "schedule": {"name": "constant", "warmup_epochs": 0},
}


class Watches(Silent):
    """Keeps a copy of the method after every batch, and of the gradients that its optimiser saw before it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.trainer = Trainer(small_run(**SGD, **settings), Environment(), folder, self)
        self.states: list[dict[str, Tensor]] = []
        self.gradients: list[dict[str, Tensor]] = []
        watch = register_optimizer_step_pre_hook(self._before_step)
        try:
            self.trainer.train()
        finally:
            watch.remove()

    def _before_step(self, *_: Any) -> None:
        named = self.trainer.method.named_parameters()
        self.gradients.append({name: one.grad.clone() for name, one in named if one.grad is not None})

    def trained(self, images: int) -> None:
        self.states.append({name: value.clone() for name, value in self.trainer.method.state_dict().items()})


def test_weights_of_a_frozen_group_stay_bit_for_bit_while_its_running_statistics_move(tmp_path: Path) -> None:
    watches = Watches(tmp_path, epochs=2, freeze={"backbone": 1}, clip_norm=1.0)
    frozen, last = watches.states[:4], watches.states[-1]
    weights = [name for name, _ in watches.trainer.method.named_parameters() if name.startswith("backbone.")]
    means = [name for name in last if name.endswith("running_mean")]
    assert weights
    assert means
    assert all(torch.equal(frozen[0][name], state[name]) for state in frozen for name in weights)
    assert not any(torch.equal(one[name], two[name]) for one, two in pairwise(frozen) for name in means)
    assert not any(torch.equal(one["head.weight"], two["head.weight"]) for one, two in pairwise(frozen))
    assert not any(torch.equal(frozen[-1][name], last[name]) for name in weights)
    assert all(given.keys() == {"head.weight", "head.bias"} for given in watches.gradients[:4])


def test_momentum_and_weight_decay_of_a_frozen_group_begin_when_it_learns(tmp_path: Path) -> None:
    """The first step of a thawed weight is that of SGD without a past: lr * (gradient + decay * weight)."""
    watches = Watches(tmp_path, epochs=2, freeze={"backbone": 1}, batch_size=18, decay_norm_and_bias=True)
    (before, after), (_, gradients) = watches.states, watches.gradients
    thawed = [name for name in gradients if name.startswith("backbone.")]
    assert thawed
    for name in thawed:
        step = 0.05 * (gradients[name] + 0.01 * before[name])
        torch.testing.assert_close(after[name], before[name] - step, rtol=1e-5, atol=1e-6)


def test_a_training_resumed_in_frozen_epochs_ends_with_the_same_bits(tmp_path: Path) -> None:
    run = small_run(**SGD, epochs=4, freeze={"backbone": 2}, options={"dropout": 0.5})
    whole = outcome(train(run, tmp_path / "whole"))
    (tmp_path / "cut").mkdir()
    each_batch = Environment(execution=Execution(checkpoint_seconds=0))
    ended = None
    while ended is None:
        with suppress(KeyboardInterrupt):
            ended = Trainer(run, each_batch, tmp_path / "cut", Interrupts(3)).train()
    assert ended.state.resumed > 4
    assert equal(outcome(ended), whole)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ({"backbon": 1}, "there is no parameter group in freeze 'backbon'"),
        ({"backbone": 1, "head": 2}, "freeze leaves nothing to learn in epoch 1"),
    ],
)
def test_groups_that_are_unknown_or_leave_nothing_to_learn_are_refused(freeze: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_run(freeze=freeze)


def test_a_group_that_never_learns_is_told() -> None:
    (line,) = method_checks.short_phases([small_run(epochs=4, freeze={"backbone": 8})])
    assert line.startswith("plain: frozen to the end, so it never learns: backbone for 8 of 4 epochs")
    assert method_checks.short_phases([small_run(epochs=9, freeze={"backbone": 8})]) == []
