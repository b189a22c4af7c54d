"""Speed and memory of the square root. The method's step and inference are measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.ops.covariance import covariance, matrix_root, upper_triangle
from tests.helpers.speed import CUDA, DEVICE, compare


@pytest.mark.benchmark(group="covariance pooling and its root, forward and backward")
def test_covariance_root(benchmark: BenchmarkFixture) -> None:
    x = torch.randn(32 if CUDA else 2, 256, 28, 28, device=DEVICE).relu_().requires_grad_()

    def eigenvalues() -> Tensor:
        """MPN-COV of ICCV 2017: the root by an eigendecomposition, which this paper replaces."""
        values, vectors = torch.linalg.eigh(covariance(x))
        return upper_triangle(vectors * values.clamp_min(0).sqrt()[:, None] @ vectors.transpose(1, 2))

    def unrooted() -> Tensor:
        return upper_triangle(covariance(x))

    forward = {"ours": lambda: upper_triangle(matrix_root(covariance(x))), "eigenvalues": eigenvalues, "none": unrooted}
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward, [x])
