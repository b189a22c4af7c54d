"""DFL-CNN against slow, obvious formulas, and against what the paper promises."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.dfl_cnn import bank as bank_module
from methods.dfl_cnn import initialise
from methods.dfl_cnn.bank import FilterBank, max_response
from methods.dfl_cnn.model import DFLCNN, last_but_one
from methods.interface import BackboneError

VARIANTS = methods.variants("dfl_cnn")
CLASSES = 5
SIZE = 64

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(backbone: str = "test_resnet", **options: object) -> DFLCNN:
    torch.manual_seed(0)
    return DFLCNN(TimmBackbones(backbone, SIZE), CLASSES, **options)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, SIZE, SIZE), torch.arange(count) % CLASSES


def slow_max_response(features: Tensor, filters: Tensor) -> Tensor:
    """One filter on one position of one image after the other."""
    found = torch.empty(len(features), len(filters), dtype=features.dtype)
    for image in range(len(features)):
        for number, weight in enumerate(filters):
            found[image, number] = max(
                float((weight * features[image, :, row, column]).sum())
                for row in range(features.shape[2])
                for column in range(features.shape[3])
            )
    return found


def plain_max_response(features: Tensor, filters: Tensor) -> Tensor:
    """As papers and code write it: a 1×1 convolution and global max pooling."""
    return F.adaptive_max_pool2d(F.conv2d(features, filters[:, :, None, None]), 1).flatten(1)


# ---- the bank of filters ----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(b=sizes, c=sizes, h=sizes, w=sizes, f=st.integers(1, 9), chunk=st.integers(1, 4), seed=seeds)
def test_largest_responses_are_those_of_the_formula(b, c, h, w, f, chunk, seed):
    features, filters = draw(b, c, h, w, seed=seed), draw(f, c, seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "CHUNK", chunk)
        found, where = max_response(features, filters)
    torch.testing.assert_close(found, slow_max_response(features, filters))
    there = torch.einsum("bcp,fc->bfp", features.flatten(2), filters).gather(2, where[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, there)


@settings(max_examples=25, deadline=None)
@given(b=sizes, c=sizes, h=sizes, w=sizes, f=st.integers(1, 9), chunk=st.integers(1, 4), seed=seeds)
def test_gradients_are_those_of_convolution_and_pooling(b, c, h, w, f, chunk, seed):
    features, filters = draw(b, c, h, w, seed=seed).requires_grad_(), draw(f, c, seed=seed + 1).requires_grad_()
    weight = draw(b, f, seed=seed + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "CHUNK", chunk)
        ours = torch.autograd.grad((max_response(features, filters)[0] * weight).sum(), (features, filters))
    plain = torch.autograd.grad((plain_max_response(features, filters) * weight).sum(), (features, filters))
    for left, right in zip(ours, plain, strict=True):
        torch.testing.assert_close(left, right)


def test_gradients_are_those_of_differences():
    features, filters = draw(2, 3, 2, 3).requires_grad_(), draw(7, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: max_response(a, b)[0], (features, filters))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_more_filters_than_a_chunk_and_any_layout(layout):
    features = draw(2, 6, 5, 4).to(memory_format=layout).requires_grad_()
    filters = draw(2 * bank_module.CHUNK + 3, 6, seed=1).requires_grad_()
    weight = draw(2, len(filters), seed=2)
    ours = torch.autograd.grad((max_response(features, filters)[0] * weight).sum(), (features, filters))
    plain = torch.autograd.grad((plain_max_response(features, filters) * weight).sum(), (features, filters))
    for left, right in zip(ours, plain, strict=True):
        torch.testing.assert_close(left, right)


def test_gradients_of_many_filters_at_one_place_are_summed_in_float32():
    """In bfloat16 the sum of 2000 equal small numbers stops growing at 256 of them."""
    features = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.bfloat16, requires_grad=True)
    filters = torch.ones(2000, 1, dtype=torch.bfloat16)
    max_response(features, filters)[0].backward(torch.ones(1, 2000, dtype=torch.bfloat16))
    assert features.grad.flatten().tolist() == [2000, 0]


def test_what_is_kept_does_not_grow_with_positions_times_filters():
    features, filters = torch.randn(2, 8, 16, 16, requires_grad=True), torch.randn(512, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: kept.append(value.numel()) or value, lambda value: value
    ):
        max_response(features, filters)
    assert sum(kept) == features.numel() + filters.numel() + 2 * 512


@settings(max_examples=20, deadline=None)
@given(classes=sizes, k=sizes, seed=seeds)
def test_side_branch_is_the_mean_over_the_filters_of_a_class(classes, k, seed):
    bank = FilterBank(3, classes, k)
    response = draw(2, classes * k, seed=seed)
    logits = bank.side(response)
    for label in range(classes):
        own = [response[:, label * k + number] for number in range(k)]
        torch.testing.assert_close(logits[:, label], sum(own) / k)


def test_the_bank_finds_a_patch_wherever_it_is():
    bank = FilterBank(8, 3, 2)
    image = torch.zeros(1, 8, 5, 5)
    image[0, :, 1, 1] = torch.randn(8)
    torch.testing.assert_close(bank.detect(image), bank.detect(image.roll((2, 3), dims=(2, 3))))


def test_evidence_peaks_at_the_detected_response():
    bank, features = FilterBank(6, 4, 3), torch.randn(2, 6, 5, 4)
    classes = torch.tensor([3, 1])
    evidence = bank.evidence(features, classes)
    own = bank.detect(features).unflatten(1, (4, 3))[torch.arange(2), classes]
    torch.testing.assert_close(evidence.flatten(2).amax(dim=2), own)


# ---- initialisation (Section 3.3) -------------------------------------------------------------------------------


def slow_peaks(features: Tensor, count: int, window: float) -> list[list[tuple[int, int]]]:
    """Greedy non-maximum suppression, position by position."""
    height, width = features.shape[2:]
    up, aside = math.floor(window * height / 2), math.floor(window * width / 2)
    found = []
    for image in features:
        places = [(row, column) for row in range(height) for column in range(width)]
        places.sort(key=lambda place: -float(image[:, place[0], place[1]].square().sum().sqrt()))
        kept: list[tuple[int, int]] = []
        for row, column in places:
            near = [1 for r, c in kept if abs(row - r) <= up and abs(column - c) <= aside]
            if not near and len(kept) < count:
                kept.append((row, column))
        found.append(kept)
    return found


@settings(max_examples=25, deadline=None)
@given(
    b=sizes, h=st.integers(1, 9), w=st.integers(1, 9), n=sizes, window=st.sampled_from([0, 0.2, 0.5, 1, 2]), seed=seeds
)
def test_peaks_are_those_of_greedy_suppression(b, h, w, n, window, seed):
    features = draw(b, 3, h, w, seed=seed).float()
    vectors, exists = initialise.peaks(features, n, window)
    for image, places in enumerate(slow_peaks(features, n, window)):
        assert exists[image].tolist() == [True] * len(places) + [False] * (n - len(places))
        for number, (row, column) in enumerate(places):
            assert torch.equal(vectors[image, number], features[image, :, row, column])


def test_kmeans_finds_clusters_that_are_there():
    true = 100 * torch.eye(4)
    points = (true[:, None] + torch.randn(4, 30, 4)).flatten(0, 1)
    centres = initialise.kmeans(points, 4)
    order = torch.cdist(true, centres).argmin(dim=1)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(centres[order], points.view(4, 30, 4).mean(dim=1))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 20), c=sizes, k=st.integers(1, 6), seed=seeds)
def test_kmeans_stands_still_at_the_means_of_its_clusters(n, c, k, seed):
    points = draw(n, c, seed=seed)
    torch.manual_seed(seed)
    centres = initialise.kmeans(points, k)
    assert centres.shape == (k, c)
    nearest = [min(range(k), key=lambda j: float((point - centres[j]).square().sum())) for point in points]
    for number in set(nearest):
        members = torch.stack([point for point, own in zip(points, nearest, strict=True) if own == number])
        torch.testing.assert_close(centres[number], members.mean(dim=0))


def test_kmeans_draws_from_the_seed():
    points = torch.randn(50, 3)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(initialise.kmeans(points, 8))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 30), c=sizes, f=sizes, seed=seeds)
def test_whitening_is_the_linear_discriminant(n, c, f, seed):
    points, centres = draw(n, c, seed=seed), draw(f, c, seed=seed + 1)
    mean = points.mean(dim=0)
    covariance = sum(torch.outer(point - mean, point - mean) for point in points) / (n - 1)
    covariance += initialise.SHRINKAGE * covariance.trace() / c * torch.eye(c, dtype=torch.float64)
    expected = torch.stack([torch.linalg.inv(covariance) @ (centre - mean) for centre in centres])
    torch.testing.assert_close(initialise.whiten(centres, points), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("whitened", [True, False])
def test_filters_stand_at_their_class_and_a_class_without_patches_keeps_its_own(whitened):
    directions = 10 * torch.eye(4)
    points, labels = directions[[0, 0, 2, 2, 3, 3]] + 0.01 * torch.randn(6, 4), torch.tensor([0, 0, 2, 2, 3, 3])
    start = torch.randn(8, 4)
    filters = initialise.class_filters(points, labels, start, (4, 2), whitened)
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(filters[2:4], F.normalize(start[2:4], dim=1))
    best = (directions @ filters.t()).argmax(dim=1) // 2
    assert best[[0, 2, 3]].tolist() == [0, 2, 3]


@settings(max_examples=20, deadline=None)
@given(images=st.integers(2, 100), places=sizes, c=sizes, f=sizes, seed=seeds)
def test_calibration_gives_responses_mean_0_and_deviation_1(images, places, c, f, seed):
    vectors, exists = draw(images, places, c, seed=seed), draw(images, places, seed=seed + 1) > -1
    exists[:, 0] = True
    filters, bias = initialise.calibrate(draw(f, c, seed=seed + 2), vectors, exists)
    best = torch.stack(
        [
            torch.stack([(vectors[i][exists[i]] @ weight).max() + b for weight, b in zip(filters, bias, strict=True)])
            for i in range(images)
        ]
    )
    torch.testing.assert_close(best.mean(dim=0), torch.zeros(f, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(best.std(dim=0, correction=0).mean(), torch.ones((), dtype=torch.float64))


def test_copies_of_one_image_tell_no_scale():
    vectors, exists = draw(1, 4, 3).repeat(5, 1, 1), torch.ones(5, 4, dtype=torch.bool)
    filters = draw(6, 3, seed=2)
    assert torch.equal(initialise.calibrate(filters, vectors, exists)[0], filters)


def coloured(per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with one bright spot somewhere, of its class's colour."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.tensor([[4.0, -2, -2], [-2, 4, -2], [-2, -2, 4], [4, 4, -4], [-4, 4, 4]])
    labels = torch.arange(CLASSES).repeat(per_class)
    images = 0.3 * torch.randn(len(labels), 3, SIZE, SIZE, generator=generator)
    for image, label in zip(images, labels, strict=True):
        top, left = torch.randint(0, SIZE - 24, (2,), generator=generator).tolist()
        image[:, top : top + 24, left : left + 24] += colours[label][:, None, None]
    return images, labels


@pytest.mark.parametrize("calibrated", [True, False])
def test_initialised_the_side_branch_knows_the_classes_before_any_training(calibrated):
    method = build(calibrated=calibrated, filters_per_class=2).eval()
    images, labels = coloured(8, seed=0)
    method.initialise(zip(images.split(16), labels.split(16), strict=True))
    images, labels = coloured(4, seed=1)
    with torch.no_grad():
        (side,) = [logits for kind, logits in method.streams(method.backbone(images)) if kind == "side"]
    assert (side.argmax(dim=1) == labels).float().mean() > 0.5  # chance is 0.2


def test_random_filters_stay_as_they_are():
    method = build(initialisation="random")
    before = method.banks[0].filters.weight.clone()
    method.initialise([batch()])
    assert torch.equal(method.banks[0].filters.weight, before)


# ---- the whole --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_makes_a_finite_step(variant):
    method = build(**VARIANTS[variant])
    method.eval().initialise([batch(CLASSES)])
    losses = method.train().losses(*batch())
    sum(losses.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in method.parameters())
    assert method(batch()[0]).shape == (4, CLASSES)


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


def test_filters_go_on_the_one_map_of_a_network_of_one_resolution():
    """BEiT has nothing to learn behind its last block, as VGG behind stride 16, but no map of stride 8 either."""
    refused = BackboneError("no map of stride 8")

    class Source:
        name = "columnar"

        def features(self, taps, name=None):
            if taps == [8]:
                raise refused
            return torch.nn.Linear(2, 2)

    assert last_but_one(Source()) == 16


def test_filters_of_vgg_look_at_conv4_3_before_its_pooling():
    method = DFLCNN(TimmBackbones("vgg16", 64), 3, filters_per_class=1)
    patch, last = method.backbone(torch.randn(1, 3, 64, 64))
    assert patch.shape == (1, 512, 8, 8)
    assert last.shape == (1, 512, 2, 2)
    assert patch.min() >= 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"global_stream": False, "patch_stream": False}, "global_stream"),
        ({"filters_per_class": 0}, "filters_per_class"),
        ({"initialisation": "k-means"}, "initialisation"),
        ({"global_head": "mlp"}, "global_head"),
        ({"scales": 2, "patch_tap": "layer3"}, "patch_tap"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        build(**options)


def test_a_network_without_the_maps_is_refused():
    with pytest.raises(BackboneError):
        build(patch_tap=64)


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


def test_a_few_steps_lower_the_loss():
    method = build(filters_per_class=3)
    images, labels = coloured(4, seed=0)
    method.eval().initialise([(images, labels)])
    optimizer = torch.optim.SGD(method.train().parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = sum(method.losses(images, labels).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
