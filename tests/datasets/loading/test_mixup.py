"""mixup and CutMix: torchvision's pixels and labels, shares as their papers draw them, methods that can learn so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console
from scipy.stats import kstest
from torch import Tensor
from torchvision.transforms import v2

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import execute
from benchmarks.planning import expand
from benchmarks.planning.expand import Changes
from benchmarks.planning.suite import Suite
from datasets.loading import mixup
from datasets.loading.mixup import mix
from methods.backbones import TimmBackbones
from methods.plain.model import Plain
from results.augmentation import Mixing
from results.store import ResultStore

CLASSES = 7
MIXUP, CUTMIX = Mixing(mixup=0.4), Mixing(cutmix=1.0)
BOTH = Mixing(mixup=0.2, cutmix=1.0, probability=0.5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(count: int, height: int = 20, width: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, height, width, generator=seeded(seed))
    return images, torch.randint(CLASSES, (count,), generator=seeded(seed))


def draws_of(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, mixup.DRAWS, generator=seeded(seed))


# Parity with torchvision: each sample against a batch in which all have its draw


def test_mixup_is_torchvisions_sample_by_sample() -> None:
    images, labels = batch_of(6)
    mixed, targets = mix(images, labels, CLASSES, MIXUP, 0, seeded())
    shares = mixup._boxes(MIXUP, 20, 20, draws_of(6))[2]
    assert len(set(shares.tolist())) == 6
    for sample, share in enumerate(shares.tolist()):
        given_all = {"lam": share, "labels": labels, "batch_size": 6}
        reference = v2.MixUp(num_classes=CLASSES)
        torch.testing.assert_close(mixed[sample], reference.transform(images, given_all)[sample])
        torch.testing.assert_close(targets[sample], reference.transform(labels, given_all)[sample])


def test_cutmix_is_torchvisions_sample_by_sample() -> None:
    images, labels = batch_of(6, 20, 31)
    mixed, targets = mix(images, labels, CLASSES, CUTMIX, 0, seeded())
    corners, extents, _ = mixup._boxes(CUTMIX, 20, 31, draws_of(6))
    assert len({tuple(corner) for corner in corners.tolist()}) > 1
    for sample, ((top, left), (height, width)) in enumerate(zip(corners.tolist(), extents.tolist(), strict=True)):
        share = 1 - height * width / (20 * 31)
        box = (left, top, left + width, top + height)
        given_all = {"box": box, "lam_adjusted": share, "labels": labels, "batch_size": 6}
        reference = v2.CutMix(num_classes=CLASSES)
        assert torch.equal(mixed[sample], reference.transform(images, given_all)[sample])
        torch.testing.assert_close(targets[sample], reference.transform(labels, given_all)[sample])


def test_boxes_of_cutmix_are_spread_as_torchvisions_are() -> None:
    count, images = 3000, torch.empty(1, 3, 40, 60)
    torch.manual_seed(0)
    reference = torch.tensor([v2.CutMix(alpha=0.7).make_params([images])["box"] for _ in range(count)]).float()
    corners, extents, _ = mixup._boxes(Mixing(cutmix=0.7), 40, 60, draws_of(count))
    ours = torch.cat([corners.flip(1), (corners + extents).flip(1)], 1).float()
    for mine, theirs in zip(ours.unbind(1), reference.unbind(1), strict=True):
        assert abs(mine.mean() - theirs.mean()) < 4 * theirs.std() * (2 / count) ** 0.5
        assert abs(mine.std() / theirs.std() - 1) < 0.1


# Draws


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    shares = mixup._boxes(Mixing(mixup=alpha), 20, 20, draws_of(5000))[2]
    assert kstest(shares.numpy(), "beta", (alpha, alpha)).pvalue > 0.01


def test_probabilities_are_those_of_the_settings() -> None:
    _, extents, shares = mixup._boxes(BOTH, 40, 40, draws_of(4000))
    mixed = extents[:, 0] > 0
    assert 0.46 < mixed.float().mean() < 0.54
    by_mixup = mixed & (extents == 40).all(1)  # a box of CutMix is never the whole image
    assert 0.22 < by_mixup.float().mean() < 0.28
    assert (shares[mixed & ~by_mixup] == 0).all()


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 9),
    mixup=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    cutmix=st.sampled_from([0.0, 0.3, 1.0]),
    probability=st.floats(0, 1),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_class_probabilities_are_none_below_zero_and_sum_to_one(
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


def test_a_sample_depends_on_its_own_draws_and_its_neighbour_alone() -> None:
    images, labels = batch_of(8)
    changed, relabelled = images.clone(), labels.clone()
    changed[3:] = 5.0
    relabelled[3:] = (labels[3:] + 1) % CLASSES
    for settings in (MIXUP, CUTMIX, BOTH):
        mixed, targets = mix(images, labels, CLASSES, settings, 0, seeded())
        again, targets_again = mix(changed, relabelled, CLASSES, settings, 0, seeded())
        assert torch.equal(again[1:3], mixed[1:3])
        assert torch.equal(targets_again[1:3], targets[1:3])


def test_one_seed_gives_one_result_and_leaves_its_input_alone() -> None:
    images, labels = batch_of(16)
    before = images.clone()
    first, _ = mix(images, labels, CLASSES, BOTH, 0, seeded(1))
    assert torch.equal(first, mix(images, labels, CLASSES, BOTH, 0, seeded(1))[0])
    assert not torch.equal(first, mix(images, labels, CLASSES, BOTH, 0, seeded(2))[0])
    assert torch.equal(images, before)


@pytest.mark.parametrize("settings", [Mixing(), BOTH, Mixing(mixup=1, epochs=1)])
def test_as_much_is_drawn_whatever_is_mixed(settings: Mixing) -> None:
    generator = seeded()
    mix(*batch_of(5), CLASSES, settings, 3, generator)
    draws_then = torch.rand(1, generator=generator)
    reference = seeded()
    torch.rand(5, mixup.DRAWS, generator=reference)
    assert torch.equal(draws_then, torch.rand(1, generator=reference))


def test_mixing_ends_after_its_epochs() -> None:
    images, labels = batch_of(4)
    settings = Mixing(mixup=1, epochs=2)
    assert mix(images, labels, CLASSES, settings, 1, seeded())[1].ndim == 2
    last, targets = mix(images, labels, CLASSES, settings, 2, seeded())
    assert torch.equal(last, images)
    assert torch.equal(targets, labels)


def test_nothing_reads_the_device() -> None:
    """A tensor on `meta` has no values: whatever would make the host wait for one fails."""
    images, labels = (value.to("meta") for value in batch_of(6))
    mixed, targets = mix(images, labels, CLASSES, BOTH, 0, seeded())
    assert mixed.device.type == targets.device.type == "meta"


# Settings and methods


@pytest.mark.parametrize("wrong", [{"mixup": -1}, {"cutmix": -0.1}, {"probability": 1.1}, {"epochs": 0}, {"alpha": 1}])
def test_settings_out_of_range_or_unknown_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Mixing.model_validate(wrong)


SOFT = [name for name in methods.available() if methods.load(name).soft_labels]


@pytest.mark.parametrize("name", SOFT)
def test_of_certain_labels_a_method_makes_the_losses_of_those_labels(name: str) -> None:
    torch.manual_seed(0)
    method = methods.load(name)(TimmBackbones("test_resnet", 64), CLASSES).eval()
    images, labels = batch_of(4, 64, 64)
    hard = method.losses(images, labels)
    soft = method.losses(images, torch.nn.functional.one_hot(labels, CLASSES).float())
    assert hard.keys() == soft.keys()
    for loss in hard:
        torch.testing.assert_close(soft[loss], hard[loss])


SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain"],
                "datasets": [
                    {
                        "name": "synthetic",
                        "options": {"classes": 3, "train_per_class": 8, "test_per_class": 4, "size": 32},
                    }
                ],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 1,
                "set": {
                    "recipe": {
                        "image_size": 32,
                        "stored_size": 32,
                        "batch_size": 6,
                        "epochs": 2,
                        "augment": {"mixing": {"mixup": 0.2, "cutmix": 1.0, "epochs": 1}},
                    }
                },
            }
        ],
    }
)


def test_a_run_is_mixed_in_its_first_epochs_and_learns_from_labels_after(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    of_labels = Plain.losses

    def noting(self: Plain, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        shapes.append(tuple(labels.shape))
        return of_labels(self, images, labels)

    monkeypatch.setattr(Plain, "losses", noting)
    (run,) = expand.expand(SUITE, here)
    summary = execute.execute([run], ResultStore(tmp_path), here, Console(quiet=True))
    assert summary.done == [run.id]
    first, second = shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]
    assert first[0] == (6, 3)
    assert [(size, 3) for (size,) in second] == first


def test_a_method_that_needs_one_class_per_image_is_not_trained_on_mixed_ones(here: Environment) -> None:
    (training,) = SUITE.train
    asked = SUITE.model_copy(update={"train": [training.model_copy(update={"methods": ["ws_dan"]})]})
    with pytest.raises(UserError, match=r"ws_dan needs one class per image.*augment.mixing.probability"):
        expand.expand(asked, here)
    unmixed = Changes(set={"recipe": {"augment": {"mixing": {"probability": 0}}}})
    assert len(expand.expand(asked, here, unmixed)) == 1
