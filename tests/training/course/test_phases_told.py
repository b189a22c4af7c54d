"""A training of several phases says which of them it works on."""

from __future__ import annotations

from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from tests.helpers.small_training import small_run


class Phases(Silent):
    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def phase(self, name: str, first: int, epochs: int) -> None:
        self.told.append((name, first, epochs))


def test_each_phase_is_told_with_its_place_among_the_epochs(tmp_path: Path) -> None:
    listener = Phases()
    Trainer(small_run("bilinear_cnn", epochs=3), Environment(), tmp_path, listener).train()
    (first, begun, epochs), (second, later, rest) = listener.told
    assert (first, second) == ("classifier", "all")
    assert (begun, later, epochs + rest) == (0, epochs, 3)
