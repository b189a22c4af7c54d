"""A batch in pieces trains like the whole batch; a Run that runs out of memory continues with smaller pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import methods
from benchmarks.errors import UserError
from benchmarks.training.engine import number_of_pieces
from benchmarks.training.optim import take_steps
from methods.backbones import TimmBackbones
from methods.interface import Method
from methods.plain.model import Plain
from tests.helpers.small_training import SWIN, outcome, raise_once, small_run, train

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "clip_norm": 1.0}


def assert_same_training(left: dict, right: dict) -> None:
    """Weights and losses, up to the rounding of float32."""
    torch.testing.assert_close(left["weights"], right["weights"], rtol=1e-4, atol=2e-6)
    for one, other in zip(left["history"], right["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def without_batch_norm(name: str, **options: object) -> Method:
    torch.manual_seed(0)
    return methods.load(name)(TimmBackbones(SWIN["name"], 64, options=SWIN["options"]), 3, **options)


@pytest.mark.parametrize("pieces", [2, 5])
def test_accumulated_batches_train_as_whole_ones(pieces: int, tmp_path: Path) -> None:
    """Batches of five and a last one of three: pieces of unequal size."""
    whole = train(small_run(backbone=SWIN, **SGD), tmp_path / "whole")
    cut = train(small_run(backbone=SWIN, **SGD, accumulate=pieces), tmp_path / "cut")
    assert (whole.micro_batch, cut.micro_batch) == (5, -(-5 // pieces))
    assert_same_training(outcome(cut), outcome(whole))


def test_a_method_with_several_steps_a_batch_steps_after_all_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = 0

    def two_steps(self: Plain, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        yield {"first": self.losses(images, labels)["cross_entropy"]}
        yield {"second": 0.5 * self.losses(images, labels)["cross_entropy"]}

    def count(self: Plain) -> None:
        nonlocal stepped
        stepped += 1

    monkeypatch.setattr(Plain, "steps", two_steps)
    monkeypatch.setattr(Plain, "after_step", count)
    images, labels = torch.randn(7, 3, 64, 64), torch.arange(7) % 3
    ended = []
    for pieces in (1, 3):
        method = without_batch_norm("plain").train()
        optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
        losses = list(take_steps(method, images, labels, optimizer, "fp32", pieces=pieces))
        assert [list(step) for step in losses] == [["first"], ["second"]]
        ended.append((dict(method.state_dict()), losses))
    assert stepped == 4
    torch.testing.assert_close(ended[0], ended[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("duplicates", ["all", "last"])
def test_centres_count_each_image_of_a_cut_batch_once(duplicates: str) -> None:
    images, labels = torch.randn(7, 3, 64, 64), torch.tensor([0, 1, 0, 0, 2, 1, 0])
    centres = []
    for pieces in (1, 3):
        method = without_batch_norm("ws_dan", duplicates=duplicates, crop=False, drop=False, attention="first", maps=4)
        for _ in range(2):
            for _ in take_steps(method.train(), images, labels, None, "fp32", pieces=pieces):
                pass
        centres.append(method.centres.centres)
    assert centres[0].abs().max() > 0
    torch.testing.assert_close(centres[1], centres[0])


@pytest.mark.parametrize(
    ("images", "micro_batch", "expected"),
    [(8, 8, 1), (8, 4, 2), (9, 4, 3), (5, 2, 2), (3, 2, 1), (1, 4, 1), (5, 1, 5), (2, 1, 2)],
)
def test_no_piece_has_one_image_alone_unless_asked_for(images: int, micro_batch: int, expected: int) -> None:
    assert number_of_pieces(images, micro_batch) == expected


def limit_memory(monkeypatch: pytest.MonkeyPatch, images: int, after: int = 0) -> None:
    """From a certain call on, only so many images fit at a time, as on a GPU."""
    losses, calls = Plain.losses, 0

    def limited(self: Plain, batch: Tensor, labels: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls > after and len(batch) > images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(self, batch, labels)

    monkeypatch.setattr(Plain, "losses", limited)


@pytest.mark.parametrize(("micro_batch", "after"), [("auto", 0), (None, 0), (None, 4), (4, 6)])
def test_after_a_lack_of_memory_training_continues_with_smaller_pieces_and_notes_it(
    micro_batch: int | str | None, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(backbone=SWIN, batch_size=8, **SGD)
    whole = outcome(train(run, tmp_path / "whole"))
    limit_memory(monkeypatch, 3, after)
    trained = train(run, tmp_path / "limited", micro_batch=micro_batch)
    assert trained.micro_batch == 2
    assert "out of memory with 4 images at a time; continues with 2" in trained.notes
    assert trained.state.resumed == (after > 0)  # the first epoch, of three batches, was complete
    assert_same_training(outcome(trained), whole)


def test_too_little_memory_for_one_image_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 0)
    with pytest.raises(UserError, match="one image at a time is too much"):
        train(small_run(backbone=SWIN), tmp_path)


def test_the_batch_size_is_found_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the warm-up has no effect: batch norm, draws and weights are those of a training without it."""
    run = small_run(options={"dropout": 0.5})
    whole = train(run, tmp_path / "whole")
    warmed_up = train(run, tmp_path / "warmed_up", micro_batch="auto")
    for name, value in whole.method.state_dict().items():
        assert torch.equal(warmed_up.method.state_dict()[name], value)


@pytest.mark.parametrize(("micro_batch", "had"), [(None, 8), (4, 4)])
def test_a_lack_of_memory_before_any_step_halves_the_configured_size(
    micro_batch: int | None, had: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_once(monkeypatch, "initialise", torch.OutOfMemoryError("CUDA out of memory"))
    trained = train(small_run(backbone=SWIN, batch_size=8), tmp_path, micro_batch=micro_batch)
    assert trained.notes[0] == f"out of memory with {had} images at a time; continues with {had // 2}"
    assert trained.micro_batch == had // 2
