"""What WS-DAN promises as a whole; its operators are tested in `tests/methods/ops/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import methods
from methods.backbones import TimmBackbones
from methods.interface import BackboneError, Tap
from methods.ops.attention import crops
from methods.plain.model import Plain
from methods.ws_dan.model import INCEPTION_ATTENTION, WSDAN
from tests.helpers.host_waits import host_waits_forbidden


class TinyNet(nn.Module):
    """One or two maps of a quarter of the image's size, 64 channels each."""

    is_backbone = True

    def __init__(self, taps: Sequence[Tap]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 4, 4), nn.BatchNorm2d(64), nn.ReLU())
        self.side = nn.Sequential(nn.Conv2d(64, 64, 1), nn.ReLU()) if len(taps) > 1 else None
        self.channels = (64,) * len(taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.stem(images)
        return [features] if self.side is None else [features, self.side(features)]


class TinySource:
    """Stands in for timm: as quick as a backbone can be."""

    def __init__(self, name: str = "inception_v3") -> None:
        self.name = name
        self.asked: list[Tap] = []

    def features(self, taps: Sequence[Tap], name: str | None = None) -> TinyNet:
        self.asked = list(taps)
        return TinyNet(taps)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def batch(count: int = 4, size: int = 32, classes: int = 5) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, size, size), torch.randint(classes, (count,))


def tiny(**options: Any) -> WSDAN:
    return WSDAN(TinySource(), 5, **options)


# A step


def test_the_loss_is_a_third_of_each_look_and_the_centre_loss():
    method, (images, labels) = tiny().eval(), batch()
    losses = method.losses(images, labels)
    assert list(losses) == ["raw", "crop", "drop", "centre"]
    logits, matrix, _ = method.look(images)
    torch.testing.assert_close(losses["raw"], nn.functional.cross_entropy(logits, labels) / 3)
    torch.testing.assert_close(matrix.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(logits, method.classifier(100 * matrix))


def test_the_loss_uses_the_centres_of_before_the_update():
    method, (images, labels) = tiny(crop=False, drop=False), batch()
    first = method.losses(images, labels)["centre"]
    torch.testing.assert_close(first, torch.tensor(1.0))  # centres at 0, features of length 1
    assert method.centres.centres.abs().max() == 0
    method.after_step()
    assert method.centres.centres.abs().max() > 0
    assert method.losses(images, labels)["centre"] < first


def test_two_views_are_averaged_as_probabilities():
    method, (images, _) = tiny().eval(), batch()
    raw, _, attention = method.look(images)
    refined = method.look(method.refine(images, attention))[0]
    both = (raw.softmax(1) + refined.softmax(1)) / 2
    torch.testing.assert_close(method(images).exp(), both)
    method.average = "logits"
    torch.testing.assert_close(method(images), (raw + refined) / 2)
    method.views = 1
    torch.testing.assert_close(method(images), raw)


def test_the_second_look_is_at_the_object():
    method = tiny(attention="first").eval()
    images, attention = torch.randn(1, 3, 32, 32), torch.zeros(1, 4, 8, 8)
    attention[:, :, 2:4, 4:7] = 1
    region = crops.salient(attention.mean(dim=1), (32, 32), 0.1)
    ys, xs = np.nonzero(region[0].numpy())
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (6, 17, 14, 29)  # rows 8..15, columns 16..27, and their blur
    expected = crops.crop(images, torch.tensor([[6 / 32 - 0.05, 14 / 32 - 0.05, 17 / 32 + 0.05, 29 / 32 + 0.05]]))
    torch.testing.assert_close(method.refine(images, attention), expected)


def test_each_sample_draws_for_itself_and_crop_and_drop_apart():
    torch.manual_seed(1)
    method = tiny().train()
    images = torch.randn(1, 3, 32, 32).repeat(16, 1, 1, 1)
    attention = torch.rand(1, 32, 8, 8).pow(16).repeat(16, 1, 1, 1)  # few high cells, so that boxes differ
    views = method.augmented(images, attention)
    assert len({tuple(view.flatten().tolist()) for view in views["crop"]}) > 10
    assert len({tuple(view.flatten().tolist()) for view in views["drop"]}) > 10
    assert not any(view.requires_grad for view in views.values())


def test_all_three_looks_count_for_batch_norm():
    method, (images, labels) = tiny().train(), batch()
    method.losses(images, labels)
    assert method.backbone.stem[1].num_batches_tracked == 3


@pytest.mark.parametrize(
    ("option", "value", "default"),
    [
        ("crop_padding", 0.3, 0.1),
        ("crop_threshold", [0.9, 0.9], [0.4, 0.6]),
        ("drop_threshold", [0.9, 0.9], [0.2, 0.5]),
        ("align_corners", True, False),
        ("maximum_of", "cells", "resized"),
        ("bounds", "pixels", "shares"),
    ],
)
def test_what_is_cropped_and_dropped_follows_each_option(option, value, default):
    torch.manual_seed(3)
    images, attention = torch.randn(4, 3, 32, 32), torch.rand(4, 4, 5, 5).pow(4)
    views = {}
    for chosen in (None, default, value):
        method = tiny(maps=4, **({} if chosen is None else {option: chosen}))
        torch.manual_seed(0)
        views[str(chosen)] = torch.stack(list(method.augmented(images, attention).values()))
    assert torch.equal(views["None"], views[str(default)])
    assert not torch.equal(views["None"], views[str(value)])


@pytest.mark.parametrize(("option", "value"), [("object_threshold", 0.6), ("object_padding", 0.2)])
def test_what_the_second_look_sees_follows_each_option(option, value):
    images, attention = torch.randn(4, 3, 32, 32), torch.rand(4, 4, 5, 5).pow(4)
    assert not torch.equal(tiny(**{option: value}).refine(images, attention), tiny().refine(images, attention))


@pytest.mark.parametrize(
    "options",
    [{"maximum": True}, {"duplicates": "last"}, {"weighted_draw": False}, {"bounds": "pixels", "maximum_of": "cells"}],
)
def test_no_option_makes_the_host_wait(options, monkeypatch):
    method, (images, labels) = tiny(**options), batch()
    with host_waits_forbidden("cpu", monkeypatch):
        torch.stack(list(method.losses(images, labels).values())).sum().backward()
        method.after_step()


# Variants and backbones


def test_the_ablations_baseline_is_the_plain_network():
    method, (images, labels) = tiny(**methods.variants("ws_dan")["baseline"]).eval(), batch()
    plain = Plain(TinySource(), 5).eval()
    plain.backbone, plain.head = method.backbone, method.classifier
    torch.testing.assert_close(method(images), plain(images))
    torch.testing.assert_close(method.losses(images, labels), {"raw": plain.losses(images, labels)["cross_entropy"]})
    assert method.attention(images).shape == (4, 1, 8, 8)
    assert method.explain(images) == {}


@pytest.mark.parametrize(
    ("network", "options", "taps"),
    [
        ("inception_v3", {}, [16, INCEPTION_ATTENTION]),
        ("inception_v3", {"tap": "final"}, ["final"]),
        ("inception_v3", {"attention": "new"}, [16]),
        ("resnet50", {}, ["final"]),
        ("resnet50", {"tap": 16}, [16]),
    ],
)
def test_auto_takes_pretrained_filters_where_there_are_any(network, options, taps):
    source = TinySource(network)
    method = WSDAN(source, 5, **options)
    assert source.asked == taps
    assert (method.attend is None) == (len(taps) == 2)


def test_on_inception_attention_is_the_next_blocks_first_filters():
    method, (images, labels) = WSDAN(TimmBackbones("inception_v3.tf_in1k", 96), 3, maps=4), batch(2, 96, 3)
    torch.stack(list(method.losses(images, labels).values())).sum().backward()
    assert not [name for name, parameter in method.named_parameters() if parameter.grad is None]
    net = timm.create_model("inception_v3", pretrained=False, num_classes=0)
    net.load_state_dict(method.backbone.net.state_dict(), strict=False)
    maps: list[Tensor] = []
    for module in (net.Mixed_6e, net.Mixed_7a.branch3x3_1):
        module.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    with torch.no_grad():
        net.eval()(images)
        features, filters = method.eval().backbone(images)
        torch.testing.assert_close(features, maps[0])
        torch.testing.assert_close(filters, maps[1])
        torch.testing.assert_close(method.attention(images), maps[1][:, :4])


@pytest.mark.parametrize("maps", [2, 32])
def test_the_first_logits_are_of_one_size_however_many_maps_there_are(maps):
    method = tiny(maps=maps, regularisation=0, bias=False)
    images, _ = batch(64)
    with torch.no_grad():
        spread = method.look(images)[0].std().item()
    assert spread == pytest.approx(100 * (2 / (32 * 768)) ** 0.5, rel=0.4)  # of a matrix of length 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"maps": 65}, BackboneError, "64 channels, too few for 65"),
        ({"average": "votes"}, ValueError, "average is 'votes'"),
        ({"crop_threshold": [0.6, 0.4]}, ValueError, "two numbers"),
        ({"duplicates": "first"}, ValueError, "duplicates is 'first'"),
        ({"centre_rate": 1.5}, ValueError, "centre_rate is 1.5"),
        ({"object_threshold": 2}, ValueError, "object_threshold is 2; it must be a share"),
        ({"crop_padding": -0.1}, ValueError, "crop_padding is -0.1; it must be a share"),
        ({"bounds": "floor"}, ValueError, "bounds is 'floor'; it must be one of shares, pixels"),
        ({"maximum_of": "max"}, ValueError, "maximum_of is 'max'; it must be one of resized, cells"),
        ({"maps": 0}, ValueError, "maps is 0"),
        ({"maps": 0, "regularisation": 0, "crop": False, "drop": False}, ValueError, "maps is 0"),
        ({"maps": -1, "regularisation": 0, "crop": False, "drop": False, "two_views": False}, ValueError, "maps is -1"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        tiny(**options)
