"""WS-DAN against slow, obvious formulas, and what its paper promises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import recipes
from methods.backbones import TimmBackbones
from methods.interface import BackboneError, Tap
from methods.ws_dan import augment
from methods.ws_dan.centres import RATE, Centres
from methods.ws_dan.model import INCEPTION_ATTENTION, WSDAN
from methods.ws_dan.pooling import average_parts, bilinear_attention_pool, maximum_parts

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 2**31)


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


# Pooling


def slow_pool(attention: Tensor, features: Tensor, maximum: bool) -> Tensor:
    rows = []
    for sample, maps in zip(features.double(), attention.double(), strict=True):
        parts = [one * sample for one in maps]
        pooled = [part.amax(dim=(1, 2)) if maximum else part.mean(dim=(1, 2)) for part in parts]
        row = torch.cat(pooled)
        row = row.sign() * row.abs().sqrt()
        rows.append(row / max(float(row.norm()), 1e-12))
    return torch.stack(rows)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, SIZES, SIZES, st.booleans())
def test_pooling_is_the_part_by_part_formula(seed, count, maps, channels, height, width, maximum):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(count, maps, height, width, generator=generator)
    features = torch.randn(count, channels, height, width, generator=generator)
    fast = bilinear_attention_pool(attention, features, maximum)
    torch.testing.assert_close(fast.double(), slow_pool(attention, features, maximum), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [average_parts, maximum_parts])
def test_pooling_has_the_right_gradient(parts):
    attention = torch.rand(2, 3, 7, dtype=torch.float64, requires_grad=True)
    features = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(parts, (attention, features))


def test_pooling_is_float32_and_finite_where_a_map_is_dead():
    attention, features = torch.zeros(2, 3, 4, 4), torch.rand(2, 5, 4, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix = bilinear_attention_pool(attention.bfloat16(), features)
    matrix.sum().backward()
    assert matrix.dtype == torch.float32
    assert matrix.abs().max() == 0
    assert features.grad.isfinite().all()


# Which map


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SIZES)
def test_the_chosen_map_is_the_winner_of_the_race(seed, count, maps):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(count, maps, 3, 2, generator=generator)
    uniform = torch.rand(count, maps, generator=generator)
    for sample in range(count):
        race = [
            math.sqrt(one.double().mean()) / -math.log(draw)
            for one, draw in zip(attention[sample], uniform[sample].double(), strict=True)
        ]
        chosen = augment.choose_maps(attention, uniform)[sample]
        torch.testing.assert_close(chosen, attention[sample, int(np.argmax(race))])


def test_maps_are_chosen_as_often_as_their_strength_says():
    strength = torch.tensor([0.0, 1.0, 4.0, 25.0])
    attention = strength.view(1, 4, 1, 1).expand(40_000, 4, 2, 2)
    chosen = augment.choose_maps(attention, torch.rand(40_000, 4))[:, 0, 0]
    shares = torch.stack([(chosen == value).float().mean() for value in strength])
    torch.testing.assert_close(shares, strength.sqrt() / 8, atol=0.01, rtol=0)
    even = augment.choose_maps(attention, torch.rand(40_000, 4), weighted=False)[:, 0, 0]
    shares = torch.stack([(even == value).float().mean() for value in strength])
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.01, rtol=0)


# Boxes, crops, drops


def slow_upsample(one: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, a cell covering its stride, edge cells carried outwards."""
    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * one.shape[0] / height - 0.5, 0), one.shape[0] - 1)
            x = min(max((column + 0.5) * one.shape[1] / width - 0.5, 0), one.shape[1] - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, one.shape[0] - 1), min(x0 + 1, one.shape[1] - 1)
            upper = one[y0, x0] * (x0 + 1 - x) + one[y0, x1] * (x - x0)
            lower = one[y1, x0] * (x0 + 1 - x) + one[y1, x1] * (x - x0)
            out[row, column] = upper * (y0 + 1 - y) + lower * (y - y0)
    return out


@settings(max_examples=25, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, st.integers(6, 14), st.integers(6, 14))
def test_salient_regions_and_their_boxes(seed, count, rows, columns, height, width):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(count, rows, columns, generator=generator)
    threshold = torch.rand(count, generator=generator)
    region = augment.salient(maps, (height, width), threshold)
    boxes = augment.bounding_boxes(region, 0.1)
    for sample in range(count):
        slow = slow_upsample(maps[sample].double().numpy(), height, width)
        distance = slow - float(threshold[sample]) * slow.max()
        clear = np.abs(distance) > 1e-5
        assert (region[sample].numpy() == (distance >= 0))[clear].all()
        ys, xs = np.nonzero(region[sample].numpy())
        expected = [ys.min() / height - 0.1, xs.min() / width - 0.1, ys.max() / height + 0.1, xs.max() / width + 0.1]
        np.testing.assert_allclose(boxes[sample].numpy(), expected, atol=1e-6)
    inside = augment.bounding_boxes(region, 0.1, clamp=True)
    torch.testing.assert_close(inside, boxes.clamp(0, 1))


def slow_crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """TensorFlow's crop_and_resize, but fading to 0 over the first pixel outside."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = image
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y = (box[0] + (box[2] - box[0]) * row / (height - 1)) * (height - 1) + 1
            x = (box[1] + (box[3] - box[1]) * column / (width - 1)) * (width - 1) + 1
            if not (0 <= y < height + 1 and 0 <= x < width + 1):
                continue
            y0, x0 = int(y), int(x)
            for yy, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
                for xx, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
                    out[:, row, column] += wy * wx * padded[:, yy, xx]
    return out


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(4, 10), st.integers(4, 10))
def test_crops_are_the_boxes_enlarged(seed, count, height, width):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, height, width, generator=generator)
    corner, extent = torch.rand(2, count, 2, generator=generator)
    boxes = torch.cat([corner - 0.3, corner + extent], dim=1)
    fast = augment.crop(images, boxes)
    for sample in range(count):
        slow = slow_crop(images[sample].double().numpy(), boxes[sample].double().numpy())
        np.testing.assert_allclose(fast[sample].numpy(), slow, atol=2e-4)


def test_a_box_around_everything_changes_nothing_and_outside_is_zero():
    images = torch.randn(2, 3, 6, 9)
    torch.testing.assert_close(augment.crop(images, torch.tensor([[0.0, 0, 1, 1]]).repeat(2, 1)), images)
    assert augment.crop(images, torch.tensor([[1.5, 1.5, 2, 2]]).repeat(2, 1)).abs().max() == 0
    assert augment.crop(images.bfloat16(), torch.tensor([[0.0, 0, 1, 1]]).repeat(2, 1)).dtype == torch.bfloat16


def test_a_dropped_region_is_zero_and_the_rest_untouched():
    images, region = torch.randn(3, 3, 5, 4), torch.rand(3, 5, 4) > 0.5
    region[1], region[2] = False, True
    dropped = augment.drop(images, region)
    for row in range(5):
        for column in range(4):
            expected = 0 * images[0, :, row, column] if region[0, row, column] else images[0, :, row, column]
            assert torch.equal(dropped[0, :, row, column], expected)
    assert torch.equal(dropped[1], images[1])
    assert torch.equal(dropped[2], images[2])  # a map that says nothing drops nothing


# Centres


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 8), st.integers(1, 4), SIZES, st.booleans(), st.sampled_from(["all", "last"]))
def test_centres_move_sample_by_sample(seed, count, classes, length, normalised, duplicates):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, length, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = Centres(classes, length, normalised, duplicates)
    centres.centres.copy_(torch.randn(classes, length, generator=generator))
    before = centres.centres.double().numpy().copy()
    read = [unit(before[label]) if normalised else before[label] for label in labels]
    distances = [((f - c) ** 2).sum() for f, c in zip(features.double().numpy(), read, strict=True)]
    np.testing.assert_allclose(float(centres(features, labels)), np.mean(distances), rtol=1e-4, atol=1e-6)
    after = before.copy()
    for feature, label, old in zip(features.double().numpy(), labels, read, strict=True):
        start = after if duplicates == "all" else before
        after[label] = start[label] + RATE * (feature - old)
    centres.update(features, labels)
    np.testing.assert_allclose(centres.centres.numpy(), after, atol=1e-5)


def test_the_loss_uses_the_centres_of_before_the_update():
    method, (images, labels) = tiny(crop=False, drop=False), batch()
    first = method.losses(images, labels)["centre"]
    torch.testing.assert_close(first, torch.tensor(1.0))  # centres at 0, features of length 1
    assert method.centres.centres.abs().max() == 0
    method.after_step()
    assert method.centres.centres.abs().max() > 0
    assert method.losses(images, labels)["centre"] < first


def test_centres_are_saved_and_are_no_parameters():
    method, (images, labels) = tiny(), batch()
    method.losses(images, labels)
    method.after_step()
    assert "centres.centres" in method.state_dict()
    assert "centres.centres" not in dict(method.named_parameters())
    copy = tiny()
    copy.load_state_dict(method.state_dict())
    assert torch.equal(copy.centres.centres, method.centres.centres)


# The whole


def test_the_loss_is_a_third_of_each_look_and_the_centre_loss():
    method, (images, labels) = tiny().eval(), batch()
    losses = method.losses(images, labels)
    assert list(losses) == ["raw", "crop", "drop", "centre"]
    logits, matrix, _ = method.look(images)
    torch.testing.assert_close(losses["raw"], nn.functional.cross_entropy(logits, labels) / 3)
    torch.testing.assert_close(matrix.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(logits, method.classifier(100 * matrix))


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
    region = augment.salient(attention.mean(dim=1), (32, 32), 0.1)
    ys, xs = np.nonzero(region[0].numpy())
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (6, 17, 14, 29)  # rows 8..15, columns 16..27, and their blur
    expected = augment.crop(images, torch.tensor([[6 / 32 - 0.05, 14 / 32 - 0.05, 17 / 32 + 0.05, 29 / 32 + 0.05]]))
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


def test_an_image_alone_is_seen_as_in_its_batch():
    method, (images, _) = tiny(attention="new").eval(), batch(5)
    together = method(images)
    alone = torch.cat([method(image[None]) for image in images])
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


def test_training_lowers_the_loss():
    method, (images, labels) = tiny(attention="new"), batch(8)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-3, momentum=0.9)
    totals = []
    for _ in range(12):
        losses = method.losses(images, labels)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        method.after_step()
        totals.append(total.item())
    assert totals[-1] < 0.7 * totals[0]


class NoHost(TorchDispatchMode):
    """Refuses operations that wait for the device or make shapes from data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero"), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [{}, {"maximum": True, "duplicates": "last", "weighted_draw": False}])
def test_a_step_never_waits_for_the_host(options):
    method, (images, labels) = tiny(**options), batch()
    with NoHost():
        torch.stack(list(method.losses(images, labels).values())).sum().backward()
        method.after_step()
        with torch.no_grad():
            method.eval()(images)


def test_compiled_without_a_break_it_is_the_same():
    method, (images, labels) = tiny(), batch()
    torch.manual_seed(3)
    plain = method.losses(images, labels)
    plain_seen = method.seen
    torch.manual_seed(3)
    compiled = torch.compile(method.losses, fullgraph=True, backend="aot_eager")(images, labels)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value)
    torch.testing.assert_close(method.seen[0], plain_seen[0])


def test_bfloat16_is_near_float32():
    method, (images, _) = tiny(attention="new").eval(), batch()
    exact = method(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = method(images)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.1


# Variants and backbones


@pytest.mark.parametrize("variant", recipes.method_file("ws_dan").variants)
def test_every_variant_makes_a_finite_step(variant):
    method, (images, labels) = tiny(**recipes.options_of("ws_dan", variant)), batch(3)
    losses = method.losses(images, labels)
    torch.stack(list(losses.values())).sum().backward()
    method.after_step()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    assert method.eval()(images).shape == (3, 5)
    assert method.views == (1 if recipes.options_of("ws_dan", variant).get("two_views") is False else 2)


def test_recipe_and_published_rows_are_sound():
    recipes.check("ws_dan")
    rows = recipes.answered("ws_dan", variant="paper", dataset="cub_200_2011", backbone="inception_v3")
    assert {row.value for row in rows} == {89.4}


@pytest.mark.parametrize(
    ("network", "options", "taps"),
    [
        ("inception_v3", {}, [16, INCEPTION_ATTENTION]),
        ("inception_v3.tf_in1k", {}, [16, INCEPTION_ATTENTION]),
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


@pytest.mark.parametrize("network", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_it_runs_on_other_networks(network):
    method, (images, labels) = WSDAN(TimmBackbones(network, 64), 3, maps=4), batch(2, 64, 3)
    torch.stack(list(method.losses(images, labels).values())).sum().backward()
    assert not [name for name, parameter in method.named_parameters() if parameter.grad is None]
    with torch.no_grad():
        assert method.attention(images).shape == (2, 4, 2, 2)
        assert method.attention(images).min() >= 0
        torch.testing.assert_close(method.eval()(images).exp().sum(dim=1), torch.ones(2))


def test_on_inception_attention_is_the_next_blocks_first_filters():
    method, (images, labels) = WSDAN(TimmBackbones("inception_v3", 96), 3, maps=4), batch(2, 96, 3)
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


def test_what_cannot_be_is_refused():
    with pytest.raises(BackboneError, match="64 channels, too few for 65"):
        tiny(maps=65)
    with pytest.raises(ValueError, match="average is 'votes'"):
        tiny(average="votes")
    with pytest.raises(ValueError, match="two numbers"):
        tiny(crop_threshold=[0.6, 0.4])
    with pytest.raises(ValueError, match="duplicates is 'first'"):
        tiny(duplicates="first")
    with pytest.raises(ValueError, match="maps is 0"):
        tiny(maps=0)
