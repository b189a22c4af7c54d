"""Speed and memory of the square root. The method's step and inference are measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.ops.second_order.covariance import covariance, covariance_root, matrix_root, upper_triangle
from tests.helpers.speed import CUDA, DEVICE, compare


@pytest.mark.parametrize("side", [28, 14, 10])  # more positions than channels, and fewer
@pytest.mark.benchmark(group="covariance pooling and its root, forward and backward")
def test_covariance_root(benchmark: BenchmarkFixture, side: int) -> None:
    x = torch.randn(32 if CUDA else 2, 256, side, side, device=DEVICE).relu_().requires_grad_()

    def eigenvalues() -> Tensor:
        """MPN-COV of ICCV 2017: the root by an eigendecomposition, which this paper replaces."""
        values, vectors = torch.linalg.eigh(covariance(x))
        return upper_triangle(vectors * values.clamp_min(0).sqrt()[:, None] @ vectors.transpose(1, 2))

    forward = {
        "ours": lambda: upper_triangle(covariance_root(x)),
        "channels": lambda: upper_triangle(matrix_root(covariance(x))),  # the paper's form, however few the positions
        "no root": lambda: upper_triangle(covariance(x)),
    }
    torch.testing.assert_close(forward["ours"](), forward["channels"](), rtol=1e-3, atol=1e-4)
    if side == 28:  # the other matrices have eigenvalues 0, where the root has no gradient
        forward["eigenvalues"] = eigenvalues
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward, [x])
