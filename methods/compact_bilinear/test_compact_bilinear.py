"""Compact Bilinear against slow, obvious formulas, and what the paper promises of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.backbones import TimmBackbones
from methods.compact_bilinear.model import CompactBilinear


def tiny(**options: Any) -> CompactBilinear:
    torch.manual_seed(0)
    return CompactBilinear(TimmBackbones("test_resnet", 32), 3, **options)


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
