"""Speed and memory of the method's operators. Its step and inference are measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods._template.model import average_pool
from tests.helpers.speed import CUDA, DEVICE, compare


@pytest.mark.benchmark(group="template_method pooling, forward and backward")
def test_average_pool(benchmark: BenchmarkFixture) -> None:
    features = torch.randn(32 if CUDA else 2, 2048, 14, 14, device=DEVICE, requires_grad=True)

    def slow() -> Tensor:
        """The formula, position by position."""
        return sum(position for position in features.flatten(2).unbind(2)) / features[0, 0].numel()

    forward = {"ours": lambda: average_pool(features), "slow": slow}
    torch.testing.assert_close(forward["ours"](), slow(), rtol=1e-4, atol=1e-5)
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward)
