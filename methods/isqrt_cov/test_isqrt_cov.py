"""iSQRT-COV against the formula with eigenvalues, and what the paper promises of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.isqrt_cov.model import ISqrtCov


def tiny(**options: Any) -> ISqrtCov:
    torch.manual_seed(0)
    return ISqrtCov(TimmBackbones("test_resnet", 64), 3, tap=16, **{"channels": 6, **options}).double().eval()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()


def slow_covariances(method: ISqrtCov) -> list[Tensor]:
    (features,) = method.backbone(images())
    return [one.flatten(1).cov(correction=0) for one in method.reduce(features)]


def triangle(matrix: Tensor) -> Tensor:
    return torch.stack([matrix[i, j] for i in range(len(matrix)) for j in range(i, len(matrix))])


@torch.no_grad()
def test_the_descriptor_tends_to_the_upper_triangle_of_the_covariances_root():
    method = tiny(iterations=25)
    slow = []
    for matrix in slow_covariances(method):
        values, vectors = torch.linalg.eigh(matrix)
        slow.append(triangle(vectors * values.clamp_min(0).sqrt() @ vectors.T))
    torch.testing.assert_close(method.descriptor(images()), torch.stack(slow), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_five_iterations_are_near_the_root_for_large_eigenvalues_and_damp_small_ones():
    """What the paper trains with: the iteration is not run until it converges."""
    method = tiny()
    for matrix, found in zip(slow_covariances(method), method.descriptor(images()), strict=True):
        values, vectors = torch.linalg.eigh(matrix)
        root = torch.zeros(6, 6).double()
        root[*torch.triu_indices(6, 6)] = found
        root = root + root.triu(1).T
        shares = (vectors.T @ root @ vectors).diagonal() / values.clamp_min(1e-12).sqrt()
        assert (shares < 1 + 1e-6).all()
        assert shares[-1] > 0.99
        assert (shares.diff() >= -1e-6).all()  # the larger the eigenvalue, the nearer its root


@torch.no_grad()
def test_without_iterations_it_is_the_covariance():
    method = tiny(iterations=0)
    slow = torch.stack([triangle(one) for one in slow_covariances(method)])
    torch.testing.assert_close(method.descriptor(images()), slow)


@torch.no_grad()
def test_without_compensation_the_size_of_the_features_makes_no_difference():
    method = tiny(compensate=False)
    before = method.descriptor(images())
    for scaled in (method.reduce[1].weight, method.reduce[1].bias):
        scaled.mul_(3)
    torch.testing.assert_close(method.descriptor(images()), before)
    whole = tiny()
    before = whole.descriptor(images())
    for scaled in (whole.reduce[1].weight, whole.reduce[1].bias):
        scaled.mul_(3)
    torch.testing.assert_close(whole.descriptor(images()), 3 * before)


@torch.no_grad()
def test_two_views_are_the_mean_score_of_an_image_and_its_mirror_image_and_one_view_is_a_read_out():
    two, one = tiny(), tiny(flip=False)
    assert (two.views, one.views) == (2, 1)
    straight, mirrored = one(images()), one(images().flip(3))
    torch.testing.assert_close(two(images()), (straight + mirrored) / 2)
    assert not torch.allclose(straight, mirrored)
    assert (dict(two.readout_views), dict(one.readout_views)) == ({"one_view": 1}, {"flip": 2})
    torch.testing.assert_close(two.readouts(images()), {"one_view": straight})
    torch.testing.assert_close(one.readouts(images()), {"flip": two(images())})


@pytest.mark.parametrize("flip", [True, False])
def test_it_learns_from_one_view(flip: bool):
    method = tiny(flip=flip).train()
    seen: list[int] = []
    method.backbone.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    method.losses(images(), torch.tensor([0, 1]))["cross_entropy"].backward()
    assert seen == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scale": "rank"}, "one of trace, frobenius"), ({"iterations": -1}, "are -1"), ({"channels": 0}, "channels 0")],
)
def test_an_option_that_means_nothing_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
