"""What SnapMix mixes, and the weights that it gives to the classes of a mixed image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import TimmBackbones
from methods.snapmix import model
from methods.snapmix.boxes import Box, paste, semantic_share
from methods.snapmix.model import SnapMix

SIZE, CLASSES = 64, 3
TARGET, SOURCE = (Box(*map(torch.tensor, bounds)) for bounds in ((8, 0, 40, 24), (0, 16, 64, 56)))
EMPTY = Box(*map(torch.tensor, (5, 5, 5, 9)))
CHOSEN = torch.tensor([1, 2, 3, 0])
LABELS = torch.tensor([0, 1, 1, 2])  # the second image is mixed with one of its own class


def build(**options: Any) -> SnapMix:
    torch.manual_seed(0)
    return SnapMix(TimmBackbones("test_resnet", SIZE), CLASSES, **options)


def images_of(seed: int = 1) -> Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Box]:
    """The next boxes that are drawn; the permutation is `CHOSEN`."""
    boxes = [TARGET, SOURCE]
    monkeypatch.setattr(model, "draw_box", lambda *_: boxes.pop(0))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: CHOSEN)
    return boxes


def shares(method: SnapMix, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image's class activation map, in the target and in the source."""
    with torch.no_grad():
        maps = method.class_maps(images, LABELS)
        return semantic_share(maps, TARGET, (SIZE, SIZE)), semantic_share(maps, SOURCE, (SIZE, SIZE))


def test_weights_are_what_is_left_of_one_class_and_what_came_of_the_other(drawn: list[Box]) -> None:
    method, images = build(), images_of()
    covered, pasted = shares(method, images)
    mixed, weights = method.mix(images, LABELS)
    assert torch.equal(mixed, paste(images, images[CHOSEN], TARGET, SOURCE))
    for image, label in enumerate(LABELS.tolist()):
        expected = torch.zeros(CLASSES)
        expected[label] += 1 - covered[image]
        expected[LABELS[CHOSEN[image]]] += pasted[CHOSEN[image]]
        torch.testing.assert_close(weights[image], expected)
    assert ((weights.sum(dim=1) - 1).abs() > 1e-3).all()


def test_released_code_counts_an_image_of_one_class_twice(drawn: list[Box]) -> None:
    once = build().mix(images_of(), LABELS)[1]
    drawn[:] = [TARGET, SOURCE]
    twice = build(doubled=True).mix(images_of(), LABELS)[1]
    torch.testing.assert_close(twice, once * torch.tensor([1.0, 2.0, 1.0, 1.0])[:, None])


def test_a_map_that_is_the_same_everywhere_is_weighed_by_the_covered_area(drawn: list[Box]) -> None:
    method = build()
    torch.nn.init.zeros_(method.head.weight)
    weights = method.mix(images_of(), LABELS)[1]
    covered = float(TARGET.area) / SIZE**2
    torch.testing.assert_close(weights[0], torch.tensor([1 - covered, covered, 0.0]))


@pytest.mark.parametrize(
    ("probability", "boxes"), [(0.0, [TARGET, SOURCE]), (1.0, [EMPTY, SOURCE]), (1.0, [TARGET, EMPTY])]
)
def test_a_batch_that_is_not_mixed_stays_as_it_is(drawn: list[Box], probability: float, boxes: list[Box]) -> None:
    drawn[:] = boxes
    images = images_of()
    mixed, weights = build(probability=probability, doubled=True).mix(images, LABELS)
    assert torch.equal(mixed, images)
    assert torch.equal(weights, F.one_hot(LABELS, CLASSES).float())


def test_with_one_box_and_weights_by_area_it_is_cutmix(drawn: list[Box]) -> None:
    images, share = images_of(), float(TARGET.area) / SIZE**2
    mixed, weights = build(same_box=True, area=True).mix(images, LABELS)
    expected = images.clone()
    expected[:, :, 8:40, 0:24] = images[CHOSEN][:, :, 8:40, 0:24]
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-4)
    one_hot = F.one_hot(LABELS, CLASSES)
    torch.testing.assert_close(weights, (1 - share) * one_hot + share * one_hot[CHOSEN])


def test_the_loss_is_the_weighted_sum_of_two_cross_entropies() -> None:
    method, images = build().eval(), images_of()
    left, added = torch.rand(4), torch.rand(4)
    others = LABELS[CHOSEN]
    weights = left[:, None] * F.one_hot(LABELS, CLASSES) + added[:, None] * F.one_hot(others, CLASSES)
    with torch.no_grad():
        logits = method(images)
        slow = left * F.cross_entropy(logits, LABELS, reduction="none")
        slow = slow + added * F.cross_entropy(logits, others, reduction="none")
        torch.testing.assert_close(method.losses(images, weights)["cross_entropy"], slow.mean())


def test_class_activation_maps_are_those_of_the_rectified_features() -> None:
    method, images = build().eval(), images_of()
    with torch.no_grad():
        (features,) = method.backbone(images)
        slow = torch.stack(
            [
                sum(
                    weight * channel.clamp_min(0)
                    for weight, channel in zip(method.head.weight[label], one, strict=True)
                )
                for one, label in zip(features, LABELS.tolist(), strict=True)
            ]
        )
        torch.testing.assert_close(method.class_maps(images, LABELS), slow)


@pytest.mark.parametrize("frozen", [False, True])
def test_running_statistics_follow_the_unmixed_images_unless_they_are_frozen(frozen: bool) -> None:
    method = build(frozen_statistics=frozen).train()
    before = {name: value.clone() for name, value in method.named_buffers()}
    method.mix(images_of(), LABELS)
    moved = [name for name, value in method.named_buffers() if not torch.equal(value, before[name])]
    assert bool(moved) != frozen
    assert all(module.training for module in method.modules())


def test_layers_in_evaluation_mode_stay_there() -> None:
    """A phase in which the backbone does not learn leaves its batch norm in evaluation mode."""
    method = build(frozen_statistics=True).train()
    method.backbone.eval()
    method.mix(images_of(), LABELS)
    assert method.training
    assert not any(module.training for module in method.backbone.modules())


def test_the_middle_branch_adds_its_logits_and_does_not_reach_the_backbone() -> None:
    method, images = build(middle=16).eval(), images_of()
    branches = method.branches(images)
    torch.testing.assert_close(method(images), branches["last map"] + branches["middle map"])
    method.losses(images, LABELS)["middle"].backward()
    assert all(parameter.grad is None for parameter in method.backbone.parameters())
    assert all(parameter.grad is not None for parameter in method.middle.parameters())


def test_the_middle_branch_classifies_the_largest_value_of_each_channel() -> None:
    method, images = build(middle=16).eval(), images_of()
    convolution, linear = method.middle[0], method.middle[3]
    with torch.no_grad():
        features = method.backbone(images)[1]
        weight = convolution.weight[:, :, 0, 0]
        for one, found in zip(features.flatten(2), method.look(images)[1], strict=True):
            positions = (weight @ one + convolution.bias[:, None]).clamp_min(0)
            torch.testing.assert_close(found, linear(positions.max(dim=1).values))


@pytest.mark.parametrize("options", [{"probability": 1.5}, {"beta": 0.0}])
def test_settings_without_meaning_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="it must be"):
        build(**options)
