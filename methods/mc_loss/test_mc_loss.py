"""MC-Loss against its formulas, written class by class and channel by channel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import BackboneError, TimmBackbones
from methods.mc_loss.channels import Over, channel_mask, class_responses, cross_channel_max, diversity
from methods.mc_loss.model import MCLoss

SIZE, CLASSES = 64, 5
CPU = torch.device("cpu")
UNEVEN = [range(0, 2), range(2, 4), range(4, 7), range(7, 10), range(10, 13)]
"""13 channels of 5 classes: the last three have one more."""


def build(**options: Any) -> MCLoss:
    torch.manual_seed(0)
    return MCLoss(TimmBackbones("test_resnet", SIZE), CLASSES, **options)


def maps_of(channels: int = 13) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, channels, 4, 4, dtype=torch.float64)


def test_the_largest_channel_of_each_class_is_taken_at_each_position() -> None:
    maps = maps_of()
    found = cross_channel_max(maps, CLASSES)
    for label, channels in enumerate(UNEVEN):
        slow = maps[:, channels[0]]
        for channel in channels[1:]:
            slow = torch.where(maps[:, channel] > slow, maps[:, channel], slow)
        assert torch.equal(found[:, label], slow)
    torch.testing.assert_close(class_responses(maps, CLASSES), found.flatten(2).sum(2) / 16)


@pytest.mark.parametrize("over", ["classes", "sizes"])
def test_diversity_is_the_overlap_of_spatial_softmaxes(over: Over) -> None:
    maps = maps_of()
    by_class = []
    for channels in UNEVEN:
        overlaps = []
        for image in maps:
            shares = [image[channel].exp() / image[channel].exp().sum() for channel in channels]
            h = sum(max(float(share[y, x]) for share in shares) for y in range(4) for x in range(4))
            overlaps.append(1 - h / len(channels))
        by_class.append(sum(overlaps) / len(overlaps))
    expected = sum(by_class) / 5 if over == "classes" else sum(by_class[:2]) / 2 + sum(by_class[2:]) / 3
    assert diversity(maps, CLASSES, over).item() == pytest.approx(expected)


def test_channels_at_different_places_are_diverse_and_equal_ones_are_not() -> None:
    apart = torch.zeros(1, 3, 4, 4)
    for channel in range(3):
        apart[0, channel, channel, channel] = 100.0
    assert diversity(apart, 1, "classes").item() == pytest.approx(0, abs=1e-6)
    assert diversity(apart[:, :1].expand(1, 3, 4, 4), 1, "classes").item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(("channels", "kept"), [(15, [2, 2, 2, 2, 2]), (52, [6, 6, 6, 7, 7]), (5, [1, 1, 1, 1, 1])])
def test_of_each_class_the_same_share_of_channels_is_dropped(channels: int, kept: list[int]) -> None:
    torch.manual_seed(0)
    size, larger = divmod(channels, CLASSES)
    sizes = [size] * (CLASSES - larger) + [size + 1] * larger
    masks = torch.stack([channel_mask(channels, CLASSES, 0.4, CPU)[0, :, 0, 0] for _ in range(400)])
    for part, size, number in zip(masks.split(sizes, dim=1), sizes, kept, strict=True):
        assert (part.sum(dim=1) == number).all()
        torch.testing.assert_close(
            part.double().mean(dim=0), torch.full((size,), number / size).double(), rtol=0, atol=0.1
        )


def test_losses_are_those_of_the_maps_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build(discriminality=2.0, diversity=20.0, channels="convolution")
    images, labels = torch.randn(4, 3, SIZE, SIZE), torch.tensor([0, 1, 2, 4])
    torch.manual_seed(3)
    losses = method.losses(images, labels)
    torch.manual_seed(3)
    mask = channel_mask(15, CLASSES, 0.4, CPU)
    maps = method.maps(images)
    logits = class_responses(torch.where(mask > 0, maps, 0.0), CLASSES)
    torch.testing.assert_close(losses["discriminality"], 2 * F.cross_entropy(logits, labels))
    torch.testing.assert_close(losses["diversity"], 20 * diversity(maps, CLASSES, "classes"))
    torch.testing.assert_close(losses["cross_entropy"], F.cross_entropy(method.classifier(maps), labels))


def test_the_paper_s_form_has_the_same_gradient() -> None:
    """CE + μ·(L_dis - λ·L_div), L_div the mean of h over classes, with μ = α and λ = β / (α·ξ)."""
    maps = maps_of(15).requires_grad_()
    alpha, beta, xi = 1.5, 20.0, 3
    (ours,) = torch.autograd.grad(beta * diversity(maps, CLASSES, "classes"), maps)
    h = cross_channel_max(maps.flatten(2).softmax(2), CLASSES).sum(2).mean()
    (paper,) = torch.autograd.grad(-alpha * (beta / (alpha * xi)) * h, maps)
    torch.testing.assert_close(ours, paper)


def test_a_term_without_weight_is_not_computed() -> None:
    images, labels = torch.randn(4, 3, SIZE, SIZE), torch.tensor([0, 1, 2, 4])
    assert set(build(discriminality=0.0, diversity=0.0).losses(images, labels)) == {"cross_entropy"}
    assert set(build(diversity=0.0).losses(images, labels)) == {"cross_entropy", "discriminality"}
    assert not build(discriminality=0.0).branches(images)


@pytest.mark.parametrize(("options", "shape"), [
    ({"channels": "convolution"}, (15, 2)),
    ({"channels": "convolution", "kernel": 3, "tap": 16, "per_class": 4}, (20, 4)),
    ({"channels": "stage", "tap": 16}, (15, 4)),
    ({"channels": "stage", "tap": 16, "width": 32}, (32, 4)),
])  # fmt: skip
def test_new_channels_keep_the_size_of_the_map(options: dict[str, Any], shape: tuple[int, int]) -> None:
    channels, side = shape
    assert build(**options).maps(torch.randn(2, 3, SIZE, SIZE)).shape == (2, channels, side, side)


def test_the_classifier_reads_the_largest_value_of_each_part() -> None:
    maps = torch.randn(2, 96, 4, 4)
    pooled = build(cells=2).classifier[0](maps)
    slow = [maps[:, :, y : y + 2, x : x + 2].flatten(2).max(dim=2).values for y in (0, 2) for x in (0, 2)]
    torch.testing.assert_close(pooled, torch.stack(slow, dim=2).flatten(1))
    assert torch.equal(build().classifier[0](maps), maps.flatten(2).max(dim=2).values)


@pytest.mark.parametrize(("height", "width"), [(14, 14), (10, 9), (3, 5)])
def test_parts_are_those_of_adaptive_pooling_with_its_gradient(height: int, width: int) -> None:
    maps = torch.randn(2, 96, height, width, requires_grad=True)
    pooled, expected = build(cells=7).classifier[0](maps), F.adaptive_max_pool2d(maps, 7).flatten(1)
    assert torch.equal(pooled, expected)
    weights = torch.randn_like(pooled)
    found, slope = (torch.autograd.grad((one * weights).sum(), maps)[0] for one in (pooled, expected))
    torch.testing.assert_close(found, slope)


def test_attention_is_the_map_of_the_predicted_class() -> None:
    method, images = build().eval(), torch.randn(3, 3, SIZE, SIZE)
    with torch.no_grad():
        maps, predicted = method.maps(images), method(images).argmax(dim=1)
        slow = [cross_channel_max(one[None], CLASSES)[0, label] for one, label in zip(maps, predicted, strict=True)]
        torch.testing.assert_close(method.attention(images)[:, 0], torch.stack(slow).clamp_min(0))


def test_too_few_channels_and_unknown_words_are_refused() -> None:
    with pytest.raises(BackboneError, match="channels=convolution"):
        MCLoss(TimmBackbones("test_resnet", SIZE), 200)
    with pytest.raises(ValueError, match="must be one of own, convolution, stage"):
        build(channels="owned")
    with pytest.raises(ValueError, match="must be a share"):
        build(dropped=1.0)
