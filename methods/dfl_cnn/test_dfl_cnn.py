"""DFL-CNN as a whole: what its losses and prediction are made of, and what the paper promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import TimmBackbones
from methods.dfl_cnn.model import DFLCNN, FADED, last_but_one
from methods.interface import BackboneError

CLASSES = 5
SIZE = 64


def build(backbone: str = "test_resnet", **options: object) -> DFLCNN:
    torch.manual_seed(0)
    return DFLCNN(TimmBackbones(backbone, SIZE), CLASSES, **options)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, SIZE, SIZE), torch.arange(count) % CLASSES


def test_losses_and_prediction_weigh_the_three_classifiers_1_1_and_a_tenth():
    method, (images, labels) = build().eval(), batch()
    streams = dict(method.streams(method.backbone(images)))
    weights = {"global": 1.0, "patch": 1.0, "side": 0.1}
    assert set(streams) == set(weights)
    losses = method.losses(images, labels)
    for kind, logits in streams.items():
        own = torch.stack([-logits[i].log_softmax(0)[labels[i]] for i in range(4)]).mean()
        torch.testing.assert_close(losses[kind], weights[kind] * own)
    torch.testing.assert_close(method(images), sum(weights[kind] * logits for kind, logits in streams.items()))


def test_two_scales_add_their_losses_and_logits():
    method, (images, labels) = build(scales=2).eval(), batch()
    found = method.streams(method.backbone(images))
    assert [kind for kind, _ in found] == ["global", "patch", "side", "patch", "side"]
    patch = sum(F.cross_entropy(logits, labels) for kind, logits in found if kind == "patch")
    torch.testing.assert_close(method.losses(images, labels)["patch"], patch)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100", "test_convnext"])
def test_filters_go_on_the_last_map_before_the_last_resolution(backbone):
    assert last_but_one(TimmBackbones(backbone, 64)) == 16


@pytest.mark.parametrize(("strides", "chosen"), [((8, 16), 8), ((16,), 16)])
def test_filters_go_on_stride_8_where_nothing_learns_behind_stride_16(strides, chosen):
    """VGG has only a pooling there; BEiT has nothing either, but its one map is that of stride 16."""

    class Source:
        name = "columnar"

        def features(self, taps, name=None):
            if taps[0] in ("final", *strides):
                return torch.nn.Linear(2, 2)
            raise BackboneError("no such map")

    assert last_but_one(Source()) == chosen


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"global_stream": False, "patch_stream": False}, ValueError, "global_stream"),
        ({"filters_per_class": 0}, ValueError, "filters_per_class"),
        ({"initialisation": "k-means"}, ValueError, "initialisation"),
        ({"global_head": "mlp"}, ValueError, "global_head"),
        ({"scales": 2, "patch_tap": "layer3"}, ValueError, "patch_tap"),
        ({"patch_tap": 64}, BackboneError, "no map of stride 64"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, error, named):
    with pytest.raises(error, match=named):
        build(**options)


def test_batch_norms_are_drawn_anew_only_where_asked():
    kept, drawn = build(), build(reset_norms=True)
    assert (kept.backbone.net.bn1.weight == 1).all()
    assert 0 < drawn.backbone.net.bn1.weight.std() < 0.1


def test_attention_shows_the_filters_of_the_predicted_class():
    method, (images, _) = build(filters_per_class=3).eval(), batch(2)
    passes: list[object] = []
    method.backbone.register_forward_hook(lambda *seen: passes.append(seen))
    shown = method.attention(images)
    assert len(passes) == 1
    assert shown.shape == (2, 3, 4, 4)
    own = method.banks[0].evidence(method.backbone(images)[0], method(images).argmax(dim=1))
    torch.testing.assert_close(shown, own.clamp_min(0))
    assert build(patch_stream=False).attention(images) is None


def test_it_explains_an_image_by_the_patches_that_the_predicted_classs_filters_select():
    method, (images, _) = build(filters_per_class=3, window=0.3).eval(), batch(2)
    shown = method.explain(images)["selected patches"]
    (features, *_), classes = method.backbone(images), method(images).argmax(dim=1)
    responses = method.banks[0].evidence(features, classes)  # (B, 3, 4, 4): a cell covers 16 px
    for image, own, seen in zip(images, responses, shown, strict=True):
        for row in range(SIZE):
            for column in range(SIZE):
                kept = False
                for one in own:
                    y, x = divmod(int(one.argmax()), 4)
                    near_y, near_x = abs(row + 0.5 - 16 * (y + 0.5)), abs(column + 0.5 - 16 * (x + 0.5))
                    kept |= max(near_y, near_x) <= 0.3 * SIZE / 2
                expected = image[:, row, column] * (1 if kept else FADED)
                torch.testing.assert_close(seen[:, row, column], expected)
    assert build(patch_stream=False).explain(images) == {}


def test_its_branches_are_the_streams_and_the_side_branch():
    method, (images, _) = build().eval(), batch(2)
    found, streams = method.branches(images), dict(method.streams(method.backbone(images)))
    assert list(found) == ["global", "patch", "side"]
    assert all(torch.equal(found[kind], logits) for kind, logits in streams.items())
    assert list(build(scales=2, patch_tap=8).branches(images)) == ["global", "patch 1", "side 1", "patch 2", "side 2"]
    assert build(patch_stream=False).branches(images) == {}  # the prediction itself
