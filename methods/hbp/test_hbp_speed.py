"""Speed and memory of cross-layer pooling. The method's step and inference are measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.hbp.pooling import Projection, cross_layer_pool
from tests.helpers.speed import CUDA, DEVICE, compare

PAIRS = ((0, 1), (0, 2), (1, 2))


@pytest.mark.benchmark(group="cross-layer pooling, forward and backward")
def test_cross_layer_pool(benchmark: BenchmarkFixture) -> None:
    """relu5_1, relu5_2 and relu5_3 of VGG-16 at 448 px; on a CPU with a quarter of the dimensions."""
    layers = [torch.randn(8 if CUDA else 1, 512, 784, device=DEVICE).relu_().requires_grad_() for _ in range(3)]
    projections = [Projection(512, 8192 if CUDA else 2048).to(DEVICE) for _ in range(3)]

    def positions() -> Tensor:
        """As written: three projected maps, multiplied."""
        projected = [project(one) for project, one in zip(projections, layers, strict=True)]
        return torch.cat([(projected[i] * projected[j]).sum(2) for i, j in PAIRS], dim=1)

    def ours() -> Tensor:
        return torch.cat(cross_layer_pool(layers, projections, PAIRS), dim=1)

    forward = {"ours": ours, "positions": positions}
    torch.testing.assert_close(ours(), positions(), rtol=1e-3, atol=1e-2)
    given = [*layers, *(one.weight for one in projections)]
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward, given)
