"""mixup and CutMix: shares and labels as in the papers, reproducible draws, methods that can learn from soft labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import Tensor

import methods
from benchmarks.errors import UserError
from datasets.loading.mixup import mix
from methods.plain.model import Plain
from results.augmentation import Mixing
from tests.helpers.methods_under_test import build
from tests.helpers.small_training import small_run, train

CLASSES = 7
MIXUP, CUTMIX = Mixing(mixup=0.4), Mixing(cutmix=1.0)
BOTH = Mixing(mixup=0.2, cutmix=1.0, probability=0.5)
DISTINCT = torch.arange(6)
"""Labels of a batch in which neighbours have different classes."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(count: int, height: int = 20, width: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, height, width, generator=seeded(seed))
    return images, torch.randint(CLASSES, (count,), generator=seeded(seed))


def kept(targets: Tensor) -> Tensor:
    """(B,) the share of itself that each image of a batch with labels `DISTINCT` keeps."""
    return targets[torch.arange(len(targets)), DISTINCT[: len(targets)]]


def mix_often(settings: Mixing, count: int) -> list[tuple[Tensor, Tensor]]:
    """The same two small images, mixed `count` times with one generator."""
    generator, images = seeded(), torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    return [mix(images, DISTINCT[:2], CLASSES, settings, 0, generator) for _ in range(count)]


# Pixels and labels


def test_mixup_blends_every_image_and_label_with_its_neighbour_by_one_share() -> None:
    images, _ = batch_of(6)
    mixed, targets = mix(images, DISTINCT, CLASSES, MIXUP, 0, seeded())
    share = kept(targets)
    assert 0 < share[0] < 1
    torch.testing.assert_close(share, share[:1].expand(6))
    torch.testing.assert_close(mixed, share[0] * images + (1 - share[0]) * images.roll(1, 0))
    one_hot = torch.eye(CLASSES)[:6]
    torch.testing.assert_close(targets, share[0] * one_hot + (1 - share[0]) * one_hot.roll(1, 0))


def test_cutmix_pastes_one_box_of_the_neighbour_and_labels_follow_its_area() -> None:
    images, _ = batch_of(6, 20, 31)
    mixed, targets = mix(images, DISTINCT, CLASSES, CUTMIX, 0, seeded())
    pasted = (mixed != images).all(1)
    rows, columns = pasted[0].nonzero().unbind(1)
    box = torch.zeros(20, 31, dtype=torch.bool)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    assert 0 < box.sum() < box.numel()
    assert (pasted == box).all()
    assert torch.equal(mixed, torch.where(box, images.roll(1, 0), images))
    torch.testing.assert_close(kept(targets), (1 - box.float().mean()).expand(6))


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 9),
    mixup=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    cutmix=st.sampled_from([0.0, 0.3, 1.0]),
    probability=st.floats(0, 1),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_class_probabilities_are_not_negative_and_sum_to_one(
    seed: int, count: int, mixup: float, cutmix: float, probability: float
) -> None:
    settings = Mixing(mixup=mixup, cutmix=cutmix, probability=probability)
    images, labels = batch_of(count, 9, 13, seed)
    mixed, targets = mix(images, labels, CLASSES, settings, 0, seeded(seed))
    assert mixed.isfinite().all()
    if not settings.active:
        assert torch.equal(targets, labels)
        return
    assert targets.shape == (count, CLASSES)
    assert targets.dtype == torch.float32
    assert (targets >= 0).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(count))


# Draws


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    shares = torch.stack([kept(targets)[0] for _, targets in mix_often(Mixing(mixup=alpha), 500)])
    assert kstest(shares.numpy(), "beta", (alpha, alpha)).pvalue > 0.01


def test_probabilities_are_those_of_the_settings() -> None:
    results = mix_often(BOTH, 500)
    changed = [mixed for mixed, targets in results if kept(targets)[0] < 1]
    by_cutmix = [mixed for mixed in changed if ((mixed == 0) | (mixed == 1)).all()]
    assert 0.42 < len(changed) / 500 < 0.55  # a CutMix box of no pixel counts as unchanged
    assert 0.35 < len(by_cutmix) / len(changed) < 0.6


def test_one_seed_gives_one_result_and_leaves_images_and_torchs_own_generator_alone() -> None:
    images, labels = batch_of(16)
    before, state = images.clone(), torch.get_rng_state()
    first, _ = mix(images, labels, CLASSES, CUTMIX, 0, seeded(1))
    torch.rand(1)
    assert torch.equal(first, mix(images, labels, CLASSES, CUTMIX, 0, seeded(1))[0])
    assert not torch.equal(first, mix(images, labels, CLASSES, CUTMIX, 0, seeded(2))[0])
    assert torch.equal(images, before)
    torch.set_rng_state(state)
    following = torch.rand(1)
    torch.set_rng_state(state)
    mix(images, labels, CLASSES, CUTMIX, 0, seeded(1))
    assert torch.equal(torch.rand(1), following)


@pytest.mark.parametrize("settings", [MIXUP, CUTMIX])
def test_processes_that_have_parts_of_a_batch_draw_alike(settings: Mixing) -> None:
    images, _ = batch_of(6)
    _, whole = mix(images, DISTINCT, CLASSES, settings, 0, seeded())
    _, part = mix(images[:3], DISTINCT[:3], CLASSES, settings, 0, seeded())
    torch.testing.assert_close(kept(part), kept(whole)[:3])


@pytest.mark.parametrize("settings", [Mixing(), BOTH, Mixing(mixup=1, epochs=1)])
def test_the_same_amount_is_drawn_for_any_settings(settings: Mixing) -> None:
    generator, reference = seeded(), seeded()
    mix(*batch_of(5), CLASSES, settings, 3, generator)
    mix(*batch_of(5), CLASSES, MIXUP, 0, reference)
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=reference))


def test_mixing_ends_after_its_epochs() -> None:
    images, labels = batch_of(4)
    settings = Mixing(mixup=1, epochs=2)
    assert mix(images, labels, CLASSES, settings, 1, seeded())[1].ndim == 2
    last, targets = mix(images, labels, CLASSES, settings, 2, seeded())
    assert torch.equal(last, images)
    assert torch.equal(targets, labels)


@pytest.mark.parametrize("settings", [MIXUP, CUTMIX])
def test_nothing_reads_the_device(settings: Mixing) -> None:
    """A tensor on `meta` has no values: whatever would make the host wait for one fails."""
    images, labels = (value.to("meta") for value in batch_of(6))
    mixed, targets = mix(images, labels, CLASSES, settings, 0, seeded())
    assert mixed.device.type == targets.device.type == "meta"


# Methods


SOFT = [name for name in methods.available() if methods.load(name).soft_labels]


@pytest.mark.parametrize("name", SOFT)
def test_one_hot_labels_give_the_losses_of_class_labels(name: str) -> None:
    method = build(name, classes=CLASSES, size=64).eval()
    images, labels = batch_of(4, 64, 64)
    hard = method.losses(images, labels)
    soft = method.losses(images, torch.nn.functional.one_hot(labels, CLASSES).float())
    assert hard.keys() == soft.keys()
    for loss in hard:
        torch.testing.assert_close(soft[loss], hard[loss])


MIXING = {"mixing": {"mixup": 0.2, "cutmix": 1.0, "epochs": 1}}


def test_a_run_is_mixed_in_its_first_epochs_and_learns_from_labels_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    losses = Plain.losses

    def recorded(self: Plain, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        shapes.append(tuple(labels.shape))
        return losses(self, images, labels)

    monkeypatch.setattr(Plain, "losses", recorded)
    train(small_run(augment=MIXING), tmp_path)
    first, second = shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]
    assert first[0] == (5, 3)
    assert [(size, 3) for (size,) in second] == first


def test_a_method_that_needs_one_class_per_image_is_not_trained_on_mixed_ones() -> None:
    with pytest.raises(UserError, match=r"ws_dan needs one class per image.*augment.mixing.probability"):
        small_run("ws_dan", augment=MIXING)
    small_run("ws_dan", augment={"mixing": {**MIXING["mixing"], "probability": 0}})
