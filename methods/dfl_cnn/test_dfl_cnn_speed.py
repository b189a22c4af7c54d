"""Speed and memory of DFL-CNN's filter bank, and speed of its initialisation.

On a CUDA GPU the sizes are the paper's (448 px, 200 classes, ten filters each), on a CPU smaller ones.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.dfl_cnn import initialise
from methods.dfl_cnn.bank import max_response
from tests.helpers.speed import CUDA, DEVICE, compare, finish, kept, peak

DTYPE = torch.bfloat16 if CUDA else torch.float32

MAPS = {  # (B, C, h, w), filters
    "vgg16": ((32, 512, 56, 56), 2000) if CUDA else ((2, 512, 28, 28), 500),
    "resnet50": ((32, 1024, 28, 28), 2000) if CUDA else ((2, 1024, 14, 14), 500),
}


def ours(features: Tensor, filters: Tensor) -> Tensor:
    return max_response(features, filters)[0]


def released(features: Tensor, filters: Tensor) -> Tensor:
    """As in public code: a convolution makes every response, then a pooling window as large as the map."""
    responses = F.conv2d(features, filters[:, :, None, None])
    return F.max_pool2d(responses, responses.shape[2:]).flatten(1)


@pytest.mark.benchmark(group="dfl_cnn filter bank, forward and backward")
@pytest.mark.parametrize("place", MAPS)
def test_filter_bank(benchmark, place):
    shape, count = MAPS[place]
    features = torch.randn(shape, device=DEVICE, dtype=DTYPE).to(memory_format=torch.channels_last).requires_grad_()
    filters = torch.randn(count, shape[1], device=DEVICE, dtype=DTYPE, requires_grad=True)
    upstream = torch.randn(shape[0], count, device=DEVICE, dtype=DTYPE)
    ways = {"ours": ours, "released": released}

    def run(name: str) -> None:
        features.grad = filters.grad = None
        ways[name](features, filters).backward(upstream)

    tolerance = {"rtol": 2e-2, "atol": 1.0} if CUDA else {"rtol": 1e-4, "atol": 1e-3}
    with torch.no_grad():
        torch.testing.assert_close(ours(features, filters), released(features, filters), **tolerance)
    forward = {name: lambda way=way: way(features, filters) for name, way in ways.items()}
    assert kept(forward["ours"]) < kept(forward["released"])
    compare(benchmark, {name: lambda name=name: run(name) for name in ways}, forward, rounds=20 if CUDA else 5)
    if benchmark.enabled and CUDA:
        highest = [peak(lambda name=name: run(name)) for name in ("released", "ours")]
        benchmark.extra_info["peak memory of released / ours"] = round(highest[0] / highest[1], 2)


@pytest.mark.benchmark(group="dfl_cnn initialisation: peaks of a batch")
def test_peaks(benchmark):
    features = torch.rand((32, 512, 56, 56) if CUDA else (4, 256, 28, 28), device=DEVICE)

    def run() -> None:
        initialise.peaks(features, count=5, window=0.2)
        finish()

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["images/s"] = round(len(features) / benchmark.stats.stats.median) if benchmark.stats else None


@pytest.mark.benchmark(group="dfl_cnn initialisation: k-means of a class")
def test_kmeans(benchmark):
    points = torch.randn(150, 512)  # 30 images of a class of CUB, five peaks each, on conv4_3; on the host
    benchmark.pedantic(initialise.kmeans, args=(points, 10), rounds=5, warmup_rounds=1)
