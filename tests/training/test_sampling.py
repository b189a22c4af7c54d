"""A training gives its method the batches that the method asks for, whole or in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods.interface import Sampling
from methods.plain.model import Plain
from tests.helpers.small_training import small_run, train


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Labels of each pass."""
    labels_of_passes: list[Tensor] = []
    losses = Plain.losses

    def watched(self: Plain, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        labels_of_passes.append(labels)
        return losses(self, images, labels)

    monkeypatch.setattr(Plain, "losses", watched)
    return labels_of_passes


def test_even_batches_in_pieces_are_pairs_without_the_last_image(
    seen: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(even=True))
    trained = train(small_run(epochs=1, batch_size=10, validation=0.125), tmp_path, micro_batch=4)  # of 21 images
    assert [len(labels) for labels in seen] == [4, 4, 2, 4, 4, 2]
    assert [row["images"] for row in trained.state.history] == [20]


def test_a_smaller_last_batch_is_left_out_where_the_method_asks_for_it(
    seen: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(drop_last=True))
    train(small_run(epochs=2), tmp_path)
    assert [len(labels) for labels in seen] == 2 * [5, 5, 5]


def test_pieces_of_a_balanced_batch_have_whole_classes(
    seen: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(images_per_class=3))
    train(small_run(epochs=1, batch_size=9, accumulate=2), tmp_path)
    assert [len(labels) for labels in seen] == 2 * [6, 3]
    for labels in seen:
        assert (labels.view(-1, 3) == labels.view(-1, 3)[:, :1]).all()
    assert all(
        len(torch.cat([first, second]).unique()) == 3 for first, second in zip(seen[::2], seen[1::2], strict=True)
    )
