"""Speed of bilinear pooling and of its SVMs: on CUDA at the paper's size (VGG-16, 448 px), on a CPU smaller."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F

from methods.bilinear_cnn.model import bilinear_pool
from methods.bilinear_cnn.svm import one_vs_all_svm
from methods.ops.second_order.roots import signed_sqrt
from tests.helpers.speed import CUDA, DEVICE, compare

# ---- the descriptor ---------------------------------------------------------------------------------------------


def descriptor(features: Tensor) -> Tensor:
    return F.normalize(signed_sqrt(bilinear_pool(features, features), "bounded", 1e-5))


def released_descriptor(features: Tensor) -> Tensor:
    """As in replications: batched product, plus epsilon, root, L2."""
    flat = features.flatten(2)
    return F.normalize((torch.bmm(flat, flat.transpose(1, 2)).flatten(1) / flat.shape[2] + 1e-5).sqrt())


def slow_descriptor(features: Tensor) -> Tensor:
    """As in the paper: an outer product at every position, then their sum."""
    total = torch.zeros(len(features), features.shape[1] ** 2, device=features.device)
    for position in features.flatten(2).unbind(2):
        total = total + (position[:, :, None] * position[:, None, :]).flatten(1)
    return F.normalize(total.sign() * (total.abs() / features[0, 0].numel()).sqrt())


@pytest.mark.benchmark(group="bilinear_cnn descriptor, forward and backward")
@pytest.mark.parametrize("other", [released_descriptor, slow_descriptor], ids=["released", "formula"])
def test_descriptor(benchmark: BenchmarkFixture, other: Callable[[Tensor], Tensor]):
    batch, side = (32, 28) if CUDA else (4, 6)
    features = torch.rand(batch, 512, side, side, device=DEVICE, requires_grad=True)
    torch.testing.assert_close(descriptor(features), other(features), rtol=1e-3, atol=1e-4)

    def forward_and_back(make: Callable[[Tensor], Tensor]) -> None:
        torch.autograd.grad(make(features).square()[:, ::7].sum(), features)

    ways = {"ours": descriptor, other.__name__.removesuffix("_descriptor"): other}
    compare(benchmark, {name: lambda way=way: forward_and_back(way) for name, way in ways.items()})


# ---- the SVMs ---------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="bilinear_cnn SVMs")
def test_svms_by_inner_products(benchmark: BenchmarkFixture):
    """Against scikit-learn on the descriptors themselves."""
    count, length, classes = (2000, 262_144, 10) if CUDA else (200, 20_000, 4)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    descriptors = torch.randn(count, length, generator=generator)
    descriptors += 0.05 * torch.randn(classes, length, generator=generator)[labels]
    descriptors = F.normalize(descriptors)

    def direct() -> None:
        samples, answers = descriptors.double().numpy(), labels.numpy()
        for k in range(classes):
            LinearSVC(loss="hinge", tol=1e-3, max_iter=10_000, random_state=0).fit(samples, np.equal(answers, k))

    def ours() -> tuple[Tensor, Tensor]:
        return one_vs_all_svm(descriptors, labels, classes, DEVICE)

    compare(benchmark, {"ours": ours, "scikit-learn on the descriptors": direct}, rounds=1)
