"""Metrics against slow, obvious formulas."""

from __future__ import annotations

import math
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from benchmarks.environment import Environment
from benchmarks.training import evaluate
from benchmarks.training.evaluate import CALIBRATION_BINS, Choice, choose, metrics, top1
from benchmarks.training.losses import Diverged
from datasets.loading import augment
from datasets.loading.store import resized
from methods.plain.model import Plain
from results.record import Selection
from tests.helpers.fakes.fake_stages import Stages, stand_in_for_plain
from tests.helpers.small_training import small_run, train


@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_metrics_equal_loops_over_images(images: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, classes, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator)
    found = metrics(logits, labels, epoch=3)

    right, top5, loss = [], 0, 0.0
    per_class: dict[int, list[bool]] = {}
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(CALIBRATION_BINS)]
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        probabilities = [math.exp(value) / total for value in row]
        order = sorted(range(classes), key=lambda k: -row[k])
        correct = order[0] == label
        right.append(correct)
        top5 += label in order[:5]
        loss -= math.log(probabilities[label])
        per_class.setdefault(label, []).append(correct)
        confidence = probabilities[order[0]]
        bins[min(max(math.ceil(confidence * CALIBRATION_BINS), 1), CALIBRATION_BINS) - 1].append((confidence, correct))
    calibration = sum(
        len(one) / images * abs(sum(c for _, c in one) / len(one) - sum(p for p, _ in one) / len(one))
        for one in bins
        if one
    )
    assert found.epoch == 3
    assert found.top1 == pytest.approx(sum(right) / images)
    assert found.top5 == pytest.approx(top5 / images)
    assert found.log_loss == pytest.approx(loss / images)
    assert found.mean_class == pytest.approx(sum(sum(r) / len(r) for r in per_class.values()) / len(per_class))
    assert found.calibration_error == pytest.approx(calibration, abs=1e-9)


def test_mean_class_accuracy_weighs_classes_not_images() -> None:
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]])
    found = metrics(logits, torch.tensor([0, 0, 0, 1]), epoch=1)
    assert found.top1 == pytest.approx(0.75)
    assert found.mean_class == pytest.approx(0.5)


def test_branches_are_scored_alone_with_the_last_weights(tmp_path: Path) -> None:
    run = small_run("sef", image_size=64, stored_size=64)
    trained = train(run, tmp_path)
    dataset = Environment().open(run.dataset, run.dataset_options)
    hits: dict[str, list[bool]] = {}
    for row in trained.test_rows:
        pixels = resized(dataset.image(int(row)), 64, "squash", "image")[None]
        with torch.no_grad():
            found = trained.method.eval().branches(augment.normalise(pixels, run.scaling))
        for name, logits in found.items():
            hits.setdefault(name, []).append(int(logits.argmax()) == dataset.labels[row])
    assert len(hits) == 4
    assert trained.branches == {name: sum(right) / 15 for name, right in hits.items()}


def test_readouts_are_scored_once_with_the_last_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric of each, beside the prediction; none of them touches the prediction's own."""
    stand_in_for_plain(monkeypatch)
    run = small_run(image_size=64, stored_size=64)
    trained = train(run, tmp_path)
    dataset = Environment().open(run.dataset, run.dataset_options)
    found: dict[str, list[Tensor]] = {}
    for row in trained.test_rows:
        pixels = resized(dataset.image(int(row)), 64, "squash", "image")[None]
        with torch.no_grad():
            logits = trained.method.eval().readouts(augment.normalise(pixels, run.scaling))
        for name, one in logits.items():
            found.setdefault(name, []).append(one[0])
    labels = torch.from_numpy(dataset.labels[trained.test_rows])
    assert {name: one.views for name, one in trained.readouts.items()} == {"mirrored": 1, "both": 2}
    for name, one in trained.readouts.items():
        expected = metrics(torch.stack(found[name]), labels, epoch=2)
        assert one.model_dump(exclude={"views"}) == pytest.approx(expected.model_dump(), abs=1e-4)
    chosen = trained.state.chosen["last"].logits
    torch.testing.assert_close(
        chosen, 2 * torch.stack(found["both"]) - torch.stack(found["mirrored"]), atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("views", [{}, {"mirrored": 1}, {"mirrored": 1, "both": 2, "other": 3}])
def test_readouts_whose_views_are_not_declared_are_an_error(
    views: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_for_plain(monkeypatch)
    monkeypatch.setattr(Stages, "readout_views", views)
    with pytest.raises(ValueError, match="readouts returned mirrored, both; its readout_views name"):
        train(small_run(epochs=1), tmp_path)


def test_a_readout_that_is_no_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def readouts(method: Plain, images: Tensor) -> dict[str, Tensor]:
        return {"spoilt": method(images) * float("nan")}

    monkeypatch.setattr(Plain, "readouts", readouts)
    monkeypatch.setattr(Plain, "readout_views", {"spoilt": 1})
    with pytest.raises(Diverged, match="the logits of read-out 'spoilt' of the test images are not all numbers"):
        train(small_run(epochs=1), tmp_path)


def test_a_method_without_branches_makes_no_further_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate.augment, "test_batch", Mock(wraps=augment.test_batch))
    trained = train(small_run(), tmp_path)
    assert (trained.branches, trained.readouts) == ({}, {})
    assert evaluate.augment.test_batch.call_count == 2 * 2  # a batch of test and one of validation images, two epochs


def test_logits_of_another_shape_than_the_contracts_are_named() -> None:
    assert evaluate.checked(torch.zeros(7, 5), 7, 5).shape == (7, 5)
    with pytest.raises(ValueError, match=r"returned \(B, 4\); its contract asks for logits \(B, 5\)"):
        evaluate.checked(torch.zeros(7, 4), 7, 5)
    with pytest.raises(ValueError, match=r"returned \(14, 5\)"):
        evaluate.checked(torch.zeros(14, 5), 7, 5)


def test_the_test_set_chooses_neither_last_epoch_nor_validation() -> None:
    """Four epochs whose accuracy on test goes down, and on validation up and down: each rule picks its own."""
    right_of_six = {"test": [6, 4, 2, 0], "validation": [1, 4, 2, 4]}
    labels, chosen = torch.arange(6) % 3, dict[Selection, Choice]()
    for epoch in range(4):
        logits = {
            split: functional.one_hot(torch.where(torch.arange(6) < right[epoch], labels, (labels + 1) % 3), 3).float()
            for split, right in right_of_six.items()
        }
        scores = choose(chosen, epoch + 1, logits, dict.fromkeys(logits, labels))
        assert scores["test_top1"] == pytest.approx(right_of_six["test"][epoch] / 6)
    assert {name: choice.epoch for name, choice in chosen.items()} == {"last": 4, "validation": 2, "best_on_test": 1}
    shares = {name: top1(choice.logits, labels) for name, choice in chosen.items()}
    assert shares == pytest.approx({"last": 0, "validation": 2 / 3, "best_on_test": 1})
