"""A batch in pieces trains like the whole batch; a Run that runs out of memory continues with smaller pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.engine import pieces_of
from benchmarks.training.listener import Silent
from benchmarks.training.optim import take_steps
from benchmarks.training.train import Trainer
from methods.backbones import TimmBackbones
from methods.interface import Gather, Method, Sampling
from methods.plain.model import Plain
from results.settings import Run
from tests.helpers.small_training import SWIN, equal, outcome, raise_once, small_run, train

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

    def count(self: Plain, gather: Gather) -> None:
        nonlocal stepped
        stepped += 1

    monkeypatch.setattr(Plain, "steps", two_steps)
    monkeypatch.setattr(Plain, "after_step", count)
    images, labels = torch.randn(7, 3, 64, 64), torch.arange(7) % 3
    ended = []
    for pieces in ([7], [3, 2, 2]):
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
    for pieces in ([7], [3, 2, 2]):
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
    pieces = pieces_of(images, micro_batch)
    assert pieces == [len(piece) for piece in torch.arange(images).tensor_split(expected)]


@given(units=st.integers(1, 12), micro_batch=st.integers(1, 40), together=st.integers(2, 6))
def test_pieces_part_no_images_that_belong_together(units: int, micro_batch: int, together: int) -> None:
    pieces = pieces_of(units * together, micro_batch, together)
    assert sum(pieces) == units * together
    assert all(piece > 0 and piece % together == 0 for piece in pieces)
    assert max(pieces) <= max(micro_batch, together)
    assert max(pieces) - min(pieces) <= together


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
    trained = train(run, tmp_path / "limited", micro_batch=micro_batch, checkpoint_seconds=0)
    assert trained.micro_batch == 2
    assert "out of memory with 4 images at a time; continues with 2" in trained.notes
    assert trained.state.resumed == (after > 0)
    assert trained.state.images_before_cut == {0: 0, 4: 18 + 8, 6: 18}[after]
    assert_same_training(outcome(trained), whole)


def test_too_little_memory_for_one_image_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 0)
    with pytest.raises(UserError, match="one image at a time is too much"):
        train(small_run(backbone=SWIN), tmp_path)


def test_a_lack_of_memory_parts_no_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(even=True))
    run = small_run(backbone=SWIN, batch_size=12, epochs=1)
    limit_memory(monkeypatch, 3)
    trained = train(run, tmp_path / "fits")
    assert trained.micro_batch == 2
    assert "out of memory with 6 images at a time; continues with 2" in trained.notes
    limit_memory(monkeypatch, 1)
    with pytest.raises(UserError, match="2 images, which belong together, are too much"):
        train(run, tmp_path / "too_large")


def test_the_batch_size_is_found_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the warm-up has no effect: batch norm, draws and weights are those of a training without it."""
    run = small_run(options={"dropout": 0.5})
    whole = train(run, tmp_path / "whole")
    warmed_up = train(run, tmp_path / "warmed_up", micro_batch="auto")
    for name, value in whole.method.state_dict().items():
        assert torch.equal(warmed_up.method.state_dict()[name], value)


def limit_forward(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """In evaluations, only so many images fit at a time."""
    forward = Plain.forward

    def limited(self: Plain, batch: Tensor) -> Tensor:
        if not self.training and len(batch) > images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Plain, "forward", limited)


@pytest.mark.parametrize("micro_batch", ["auto", None])
def test_a_lack_of_memory_in_an_evaluation_shrinks_and_repeats_the_evaluation_alone(
    micro_batch: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(backbone=SWIN, **SGD)
    whole = outcome(train(run, tmp_path / "whole"))
    limit_forward(monkeypatch, 5)
    trained = train(run, tmp_path / "limited", micro_batch=micro_batch)
    assert (trained.micro_batch, trained.state.resumed, trained.state.images_before_cut) == (5, 0, 0)
    told = "out of memory with {} images at a time in an evaluation; continues with {}"
    assert trained.notes == [told.format(had, had // 2) for had in (64, 32, 16, 8)]
    assert equal(outcome(trained)["weights"], whole["weights"])
    torch.testing.assert_close(outcome(trained)["chosen"], whole["chosen"], rtol=1e-4, atol=1e-6)


def test_too_little_memory_for_the_evaluation_of_one_image_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_forward(monkeypatch, 0)
    with pytest.raises(UserError, match="one image at a time is too much"):
        train(small_run(backbone=SWIN, epochs=1), tmp_path)


@pytest.mark.parametrize("step", ["initialise", "finish", "branches", "readouts"])
def test_a_lack_of_memory_in_a_step_of_the_method_itself_cuts_no_batch(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(backbone=SWIN)
    whole = outcome(train(run, tmp_path / "whole"))
    raise_once(monkeypatch, step, torch.OutOfMemoryError("CUDA out of memory"))
    trained = train(run, tmp_path / "limited")
    assert trained.notes == ["out of memory with 64 images at a time in an evaluation; continues with 32"]
    assert trained.micro_batch == 5
    assert trained.state.resumed == (step == "finish")  # from the end of the last epoch
    assert equal(outcome(trained), whole)


MOVED = "out of memory with the images on the GPU; continues with images from the host"


def train_resident(run: Run, folder: Path) -> TrainingResult:
    """Trains with all images on the device, which here is the CPU."""
    folder.mkdir()
    return Trainer(run, Environment(feed="resident"), folder, Silent()).train()


def test_the_images_leave_the_device_before_any_batch_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_run()
    whole = train_resident(run, tmp_path / "whole")
    assert whole.resident_bytes == sum(whole.counts.values()) * 3 * run.recipe.stored_size**2
    raise_once(monkeypatch, "losses", torch.OutOfMemoryError("CUDA out of memory"))
    trained = train_resident(run, tmp_path / "limited")
    assert (trained.notes, trained.micro_batch, trained.resident_bytes) == ([MOVED], 5, 0)
    assert equal(outcome(trained), outcome(whole))


def test_where_that_is_not_enough_the_batch_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 4)
    trained = train_resident(small_run(), tmp_path / "limited")
    assert trained.notes == [MOVED, "out of memory with 5 images at a time; continues with 2"]


def test_an_evaluation_gives_up_the_images_on_the_device_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Plain.forward

    def limited(self: Plain, batch: Tensor) -> Tensor:
        if not self.training and trainer.batches.resident_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Plain, "forward", limited)
    trainer = Trainer(small_run(), Environment(feed="resident"), tmp_path, Silent())
    trained = trainer.train()
    assert len(trained.notes) == 7  # 64, 32, 16, 8, 4, 2, and then the images
    assert (trained.notes[-1], trained.micro_batch) == (MOVED, 5)


def test_after_the_epochs_the_images_leave_the_device_before_the_last_step_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_once(monkeypatch, "finish", torch.OutOfMemoryError("CUDA out of memory"))
    trained = train_resident(small_run(), tmp_path / "limited")
    assert (trained.notes, trained.resident_bytes) == ([MOVED], 0)
