"""Compact Bilinear against slow, obvious formulas, and what the paper promises of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.bilinear_cnn.model import bilinear_pool
from methods.compact_bilinear.model import CompactBilinear, RandomMaclaurin
from methods.ops.count_sketch import TensorSketch


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def tiny(**options: Any) -> CompactBilinear:
    torch.manual_seed(0)
    return CompactBilinear(TimmBackbones("test_resnet", 32), 3, **options)


@pytest.mark.parametrize("positions", [(1, 2), (3, 4)])  # fewer than channels, and more
def test_random_maclaurin_is_the_sum_of_the_positions_projected_products(positions: tuple[int, int]):
    project, x = RandomMaclaurin(5, 7, seed=3).double(), maps(2, 5, *positions)
    first, second = project.weights
    slow = torch.stack([sum((first @ at) * (second @ at) for at in one.flatten(1).unbind(1)) / 7**0.5 for one in x])
    torch.testing.assert_close(project(x), slow)


def test_random_maclaurins_products_are_the_squared_products_of_features_on_average():
    """E⟨φ(x), φ(y)⟩ = ⟨x, y⟩²: the mean over 2 000 draws is within 4 of its standard errors."""
    x, y = maps(2, 6, 1, 1).split(1)
    draws = [RandomMaclaurin(6, 32, seed).double() for seed in range(2000)]
    products = torch.stack([(project(x) * project(y)).sum() for project in draws])
    error = products.std() / len(products) ** 0.5
    kernel = (x * y).sum().square()
    assert (products.mean() - kernel).abs() < 4 * error
    assert error < 0.2 * kernel  # else the test could not fail


@pytest.mark.parametrize("kind", [TensorSketch, RandomMaclaurin])
def test_descriptors_of_many_dimensions_compare_images_as_bilinear_descriptors_do(kind: Any):
    """What the paper is about: products of the pooled vectors stand for those of the full outer products."""
    x = maps(4, 8, 3, 3).relu()
    full, compact = bilinear_pool(x, x) * 9, kind(8, 65536, seed=1).double()(x)
    torch.testing.assert_close(compact @ compact.T, full @ full.T, rtol=0.05, atol=0)


def test_the_same_seed_draws_the_same_weights_whatever_the_runs_seed_is():
    first, again = (tiny(projection="random_maclaurin", dimension=16) for _ in range(2))
    torch.manual_seed(9)
    other = CompactBilinear(TimmBackbones("test_resnet", 32), 3, projection="random_maclaurin", dimension=16)
    assert torch.equal(first.project.weights, again.project.weights)
    assert torch.equal(first.project.weights, other.project.weights)
    assert set(first.project.weights.unique().tolist()) == {-1, 1}


@pytest.mark.parametrize("projection", ["tensor_sketch", "random_maclaurin"])
def test_the_descriptor_is_rooted_and_has_length_one(projection: str):
    method = tiny(projection=projection, dimension=40).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        (features,) = method.backbone(images)
        x = method.project(features)
        y = torch.stack([one.sign() * one.abs().sqrt() for one in x])
        torch.testing.assert_close(method.descriptor(images), y / y.square().sum(1, keepdim=True).sqrt())
    assert method.classifier.in_features == 40


@pytest.mark.parametrize("projection", ["tensor_sketch", "random_maclaurin"])
def test_the_projection_learns_with_the_classifier_if_asked(projection: str):
    fixed, learning = (tiny(projection=projection, dimension=16, learn=learn) for learn in (False, True))
    assert not list(fixed.project.parameters())
    (weights,) = learning.project.parameters()
    assert any(weights is one for one in learning.parameter_groups()["head"])
    learning.losses(torch.randn(2, 3, 32, 32), torch.tensor([0, 1]))["cross_entropy"].backward()
    assert weights.grad.abs().sum() > 0


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="'fft'; it must be one of tensor_sketch, random_maclaurin"):
        tiny(projection="fft")
    with pytest.raises(ValueError, match="root is 'cube'"):
        tiny(root="cube")
