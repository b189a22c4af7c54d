"""What DFL-CNN costs: its bank of filters, its initialisation, and a whole step against the plain backbone's.

On a CUDA GPU the sizes are those of the paper (448 px, 200 classes, ten filters each), on a CPU small ones. `kept`
counts the bytes that autograd keeps for the backward pass, the same on both devices.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.compare_with_plain import note_others, step_against_plain
from benchmarks.speed.stopwatch import CUDA, DEVICE, finish, kept, peak, random_batch, seconds
from methods.backbones import TimmBackbones
from methods.dfl_cnn import initialise
from methods.dfl_cnn.bank import max_response
from methods.dfl_cnn.model import DFLCNN
from methods.plain.model import Plain

DTYPE = torch.bfloat16 if CUDA else torch.float32

MAPS = {  # (B, C, h, w), filters
    "vgg16": ((32, 512, 56, 56), 2000) if CUDA else ((2, 512, 28, 28), 500),
    "resnet50": ((32, 1024, 28, 28), 2000) if CUDA else ((2, 1024, 14, 14), 500),
}


def ours(features: Tensor, filters: Tensor) -> Tensor:
    return max_response(features, filters)[0]


def slow(features: Tensor, filters: Tensor) -> Tensor:
    """The formula, one filter after the other."""
    rows = features.flatten(2)
    return torch.stack([(weight[None, :, None] * rows).sum(dim=1).amax(dim=1) for weight in filters], dim=1)


def released(features: Tensor, filters: Tensor) -> Tensor:
    """As public code has it: a convolution makes every response, a pooling window as large as the map follows."""
    responses = F.conv2d(features, filters[:, :, None, None])
    return F.max_pool2d(responses, responses.shape[2:]).flatten(1)


@pytest.mark.benchmark(group="dfl_cnn filter bank, forward and backward")
@pytest.mark.parametrize("place", MAPS)
def test_filter_bank(benchmark, place):
    shape, count = MAPS[place]
    features = torch.randn(shape, device=DEVICE, dtype=DTYPE).to(memory_format=torch.channels_last).requires_grad_()
    filters = torch.randn(count, shape[1], device=DEVICE, dtype=DTYPE, requires_grad=True)
    upstream = torch.randn(shape[0], count, device=DEVICE, dtype=DTYPE)
    ways = {"ours": ours, "released": released, "slow": slow}

    def run(name: str) -> None:
        features.grad = filters.grad = None
        ways[name](features, filters).backward(upstream)
        finish()

    tolerance = {"rtol": 2e-2, "atol": 1.0} if CUDA else {"rtol": 1e-4, "atol": 1e-3}
    with torch.no_grad():
        torch.testing.assert_close(ours(features, filters), released(features, filters), **tolerance)
    held = {name: kept(lambda name=name: ways[name](features, filters)) for name in ("ours", "released")}
    assert held["ours"] < held["released"]
    benchmark.pedantic(run, args=("ours",), rounds=3, warmup_rounds=1)
    if not benchmark.enabled:
        return
    times = seconds({name: lambda name=name: run(name) for name in held}, rounds=20 if CUDA else 9)
    if CUDA:
        highest = {name: peak(lambda name=name: run(name)) for name in held}
        benchmark.extra_info["peak memory of released / ours"] = round(highest["released"] / highest["ours"], 2)
    else:  # on a GPU the formula would keep 200 GB; alone: the memory it frees would slow down whoever comes next
        times |= seconds({"slow": lambda: run("slow")}, rounds=1)
        held["slow"] = kept(lambda: slow(features, filters))
    note_others(benchmark, times, held)


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


@pytest.mark.benchmark(group="dfl_cnn step")
@pytest.mark.parametrize(
    ("backbone", "image_size", "size", "classes"),
    [("vgg16", 448, 32, 200), ("resnet50", 448, 32, 200)]
    if CUDA
    else [("vgg11", 112, 2, 50), ("resnet18", 128, 8, 50)],
)
@pytest.mark.parametrize("compiled", [False, True] if CUDA else [False])
def test_step_against_plain(benchmark, backbone, image_size, size, classes, compiled):
    source = TimmBackbones(backbone, image_size)
    batch = random_batch(size, image_size, classes)
    step_against_plain(benchmark, DFLCNN(source, classes), Plain(source, classes), batch, compiled)
