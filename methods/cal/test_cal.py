"""What CAL promises; views, pooling and centres are tested in `tests/methods/ops/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.cal.model import CAL
from methods.interface import Tap
from tests.helpers.host_waits import host_waits_forbidden


class TinyNet(nn.Module):
    """A map of a quarter of the image's size, 16 channels."""

    is_backbone = True
    channels = (16,)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.stem(images)]


class TinySource:
    """Stands in for timm: as quick as a backbone can be."""

    name = "tiny"

    def features(self, taps: Sequence[Tap], name: str | None = None) -> TinyNet:
        return TinyNet()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def batch(count: int = 4, size: int = 32) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, size, size), torch.randint(5, (count,))


def tiny(**options: Any) -> CAL:
    return CAL(TinySource(), 5, **{"maps": 3} | options)


def slow_logits(method: CAL, attention: Tensor, features: Tensor) -> Tensor:
    """Equations 2 and 3 part by part, with the authors' signed root, and the classifier."""
    rows = []
    for maps, sample in zip(attention, features, strict=True):
        parts = torch.cat([(sample * one).sum(dim=(1, 2)) / one.numel() for one in maps])
        rooted = parts.sign() * (parts.abs() + 1e-6).sqrt()
        rows.append(100 * rooted / rooted.norm())
    return method.classifier(torch.stack(rows))


# The counterfactual


@pytest.mark.parametrize("counterfactual", ["random", "uniform", "reversed", "shuffled", "zero"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_effect_is_the_prediction_minus_that_with_wrong_attention(counterfactual: str, bias: bool):
    method, (images, _) = tiny(counterfactual=counterfactual, bias=bias).double().train(), batch()
    seen = method.look(images.double())
    torch.manual_seed(1)
    effect = method.effect(seen)
    torch.manual_seed(1)
    wrong = method.wrong_attention(seen.attention)
    if counterfactual == "zero":
        without = torch.zeros(5) + (method.classifier.bias if bias else 0)
    else:
        without = slow_logits(method, wrong, seen.features)
    torch.testing.assert_close(effect, slow_logits(method, seen.attention, seen.features) - without)


def test_random_attention_is_uniform_between_0_and_2_and_1_in_evaluation():
    method, attention = tiny().train(), torch.rand(8, 3, 20, 20)
    wrong = method.wrong_attention(attention)
    assert 0 <= wrong.min() < 0.01
    assert 1.99 < wrong.max() <= 2
    assert wrong.mean().item() == pytest.approx(1, abs=0.03)
    assert not torch.equal(wrong, method.wrong_attention(attention))
    assert torch.equal(method.eval().wrong_attention(attention), torch.ones_like(attention))


@pytest.mark.parametrize("training", [True, False])
def test_uniform_and_reversed_attention_are_made_sample_by_sample(training: bool):
    attention = torch.rand(3, 2, 4, 4)
    uniform = tiny(counterfactual="uniform").train(training).wrong_attention(attention)
    reverse = tiny(counterfactual="reversed").train(training).wrong_attention(attention)
    for sample, even, turned in zip(attention, uniform, reverse, strict=True):
        torch.testing.assert_close(even, torch.full_like(sample, sample.mean().item()))
        torch.testing.assert_close(turned, sample.max() - sample)


def test_shuffled_attention_is_that_of_the_batch_in_another_order():
    method, attention = tiny(counterfactual="shuffled").train(), torch.rand(16, 2, 4, 4)
    wrong = method.wrong_attention(attention)
    came_from = [int((attention == one).all(dim=(1, 2, 3)).nonzero()) for one in wrong]
    assert sorted(came_from) == list(range(16))
    assert came_from != sorted(came_from)


def test_the_effect_teaches_features_attention_and_classifier():
    method, (images, labels) = tiny().train(), batch()
    method.losses(images, labels)["effect"].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in method.parameters())


@pytest.mark.parametrize("counterfactual", ["random", "uniform", "reversed", "shuffled", "zero", "none"])
def test_no_counterfactual_makes_the_host_wait(counterfactual: str, monkeypatch: pytest.MonkeyPatch):
    method, (images, labels) = tiny(counterfactual=counterfactual, duplicates="last"), batch()
    with host_waits_forbidden("cpu", monkeypatch):
        torch.stack(list(method.losses(images, labels).values())).sum().backward()
        method.after_step()
        method.eval().readouts(images)


# A step


def test_the_losses_have_the_authors_weights():
    method, (images, labels) = tiny(regularisation=0.5).train(), batch()
    torch.manual_seed(1)
    losses = method.losses(images, labels)
    assert list(losses) == ["raw", "crop and drop", "effect", "centre"]
    torch.manual_seed(1)
    seen = method.look(images)
    views = method.further
    further = method.look(
        torch.cat([views.part_cropped(images, seen.attention), views.part_dropped(images, seen.attention)])
    )
    raw, augmented = method.classify(seen.h), method.classify(further.h)
    effect = torch.cat([method.effect(seen), method.effect(further)])
    three = torch.cat([labels, labels, labels])
    torch.testing.assert_close(losses["raw"], F.cross_entropy(raw, labels) / 3)
    torch.testing.assert_close(losses["crop and drop"], F.cross_entropy(augmented, three[:8]) * 2 / 3)
    torch.testing.assert_close(losses["effect"], F.cross_entropy(effect, three))
    torch.testing.assert_close(losses["centre"], torch.tensor(0.5))  # centres at 0, representations of length 1


def test_without_counterfactual_the_other_losses_are_the_same():
    images, labels = batch()
    with_effect, without = tiny(regularisation=0).train(), tiny(regularisation=0, counterfactual="none").train()
    without.load_state_dict(with_effect.state_dict())
    losses = []
    for method in (with_effect, without):
        torch.manual_seed(1)
        losses.append(method.losses(images, labels))
    assert list(losses[1]) == ["raw", "crop and drop"]
    for name, loss in losses[1].items():
        assert torch.equal(loss, losses[0][name])
    assert "effect" not in without.eval().readouts(images)


def test_cropped_and_dropped_images_are_one_batch_for_batch_norm():
    method = tiny().train()
    method.losses(*batch())
    assert method.backbone.stem[1].num_batches_tracked == 2


def test_centres_move_after_the_step_by_what_its_loss_saw():
    method, (images, labels) = tiny().train(), batch()
    (losses,) = method.steps(images, labels)
    assert losses["centre"].item() == pytest.approx(1)
    assert method.centres.centres.abs().max() == 0
    method.after_step()
    moved = method.centres.centres.clone()
    assert moved.abs().max() > 0
    method.after_step()
    assert torch.equal(method.centres.centres, moved)


def test_the_parts_of_a_split_batch_move_the_centres_together():
    images, labels = batch()
    method = tiny().train()
    list(method.steps(images[:2], labels[:2]))
    first = method.seen
    list(method.steps(images[2:], labels[2:]))
    features, classes = method.seen
    assert torch.equal(features[:2], first[0])
    assert torch.equal(classes, labels)


# Prediction


def test_the_headline_is_the_mean_of_the_image_and_its_object():
    method, (images, _) = tiny().eval(), batch()
    seen = method.look(images)
    crop = method.look(method.further.object_cropped(images, seen.attention, 0.1, 0.05))
    expected = sum(slow_logits(method, one.attention, one.features) for one in (seen, crop)) / 2
    torch.testing.assert_close(method(images), expected, rtol=1e-4, atol=1e-5)


def test_eight_views_are_four_of_the_image_and_four_of_its_mirror_image():
    method, (images, _) = tiny().eval(), batch()
    logits = []
    for one in (images, images.flip(3)):
        seen = method.look(one)
        logits.append(method.classify(seen.h))
        for threshold, padding in ((0.3, 0.1), (0.2, 0.1), (0.1, 0.05)):
            crop = method.further.object_cropped(one, seen.attention, threshold, padding)
            logits.append(method.classify(method.look(crop).h))
    assert len(logits) == 8
    torch.testing.assert_close(method.readouts(images)["eight_views"], sum(logits) / 8, rtol=1e-4, atol=1e-5)


def test_the_read_outs_of_one_view_and_of_the_effect():
    method, (images, _) = tiny().eval(), batch()
    seen = method.look(images)
    crop = method.look(method.second_look(images, seen.attention))
    passes = []
    method.backbone.register_forward_hook(lambda *_: passes.append(1))
    readouts = method.readouts(images)
    assert readouts.keys() == method.readout_views.keys()
    assert len(passes) == 8  # for all of them
    torch.testing.assert_close(readouts["one_view"], method.classify(seen.h))
    torch.testing.assert_close(readouts["effect"], (method.effect(seen) + method.effect(crop)) / 2)


@pytest.mark.parametrize("maps", [2, 32])
def test_the_first_logits_are_of_one_size_however_many_maps_there_are(maps: int):
    method = CAL(TinySource(), 500, maps=maps, regularisation=0).eval()
    with torch.no_grad():
        spread = method.classify(method.look(batch()[0]).h).std().item()
    assert spread == pytest.approx(100 / (3 * 32 * 2048) ** 0.5, rel=0.2)  # of a representation of length 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counterfactual": "wrong"}, "counterfactual is 'wrong'; it must be one of random, uniform"),
        ({"maps": 0}, "maps is 0"),
        ({"crop_threshold": [0.6, 0.4]}, "two numbers"),
        ({"crop_padding": 2}, "crop_padding is 2"),
        ({"centre_rate": -1}, "centre_rate is -1"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
