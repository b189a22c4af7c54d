"""DFL-CNN's initialisation (Section 3.3) against slow, obvious formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from methods.dfl_cnn import initialise
from methods.dfl_cnn.test_dfl_cnn import CLASSES, SIZE, batch, build
from methods.dfl_cnn.test_dfl_cnn_bank import draw, seeds, sizes


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
