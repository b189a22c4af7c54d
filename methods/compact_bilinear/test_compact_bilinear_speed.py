"""Speed and memory of the projections. The method's step and inference are measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.compact_bilinear.projections import RandomMaclaurin, TensorSketch
from tests.helpers.speed import CUDA, DEVICE, compare

CHANNELS, DIMENSION = 512, 8192
"""Of VGG-16 and of the paper; the map has 14 x 14 positions on a CPU, 28 x 28 on a GPU."""


def features() -> Tensor:
    side = 28 if CUDA else 14
    return torch.randn(16 if CUDA else 1, CHANNELS, side, side, device=DEVICE).relu_().requires_grad_()


@pytest.mark.benchmark(group="tensor sketch, forward and backward")
def test_tensor_sketch(benchmark: BenchmarkFixture) -> None:
    x, sketch = features(), TensorSketch(CHANNELS, DIMENSION, seed=1).to(DEVICE)
    rows = torch.arange(CHANNELS, device=DEVICE)
    matrices = []
    for hashes, signs in zip(sketch.hashes, sketch.signs, strict=True):
        matrices.append(torch.zeros(CHANNELS, DIMENSION, device=DEVICE))
        matrices[-1][rows, hashes] = signs

    def slow() -> Tensor:
        """The paper's way: each position's two sketches, multiplied in their spectra."""
        first, second = (torch.fft.rfft(x.flatten(2).transpose(1, 2) @ matrix) for matrix in matrices)
        return torch.fft.irfft(first * second, DIMENSION).sum(1)

    def summed() -> Tensor:
        """The same, added up before it is transformed back."""
        first, second = (torch.fft.rfft(x.flatten(2).transpose(1, 2) @ matrix) for matrix in matrices)
        return torch.fft.irfft((first * second).sum(1), DIMENSION)

    forward = {"ours": lambda: sketch(x), "fft": slow, "fft, one inverse": summed}
    torch.testing.assert_close(forward["ours"](), slow(), rtol=1e-3, atol=1e-2)
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward, [x])


@pytest.mark.benchmark(group="random maclaurin, forward and backward")
def test_random_maclaurin(benchmark: BenchmarkFixture) -> None:
    x, project = features(), RandomMaclaurin(CHANNELS, DIMENSION, seed=1).to(DEVICE)

    def slow() -> Tensor:
        """Both projections of each position, multiplied."""
        first, second = project.weights
        return ((first @ x.flatten(2)) * (second @ x.flatten(2))).sum(2) / DIMENSION**0.5

    forward = {"ours": lambda: project(x), "positions": slow}
    torch.testing.assert_close(forward["ours"](), slow(), rtol=1e-3, atol=1e-2)
    given = [x, project.weights]
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in forward.items()}, forward, given)
