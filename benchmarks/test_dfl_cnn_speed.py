"""What DFL-CNN costs: its bank of filters, its initialisation, and a whole step against the plain backbone's.

On a CUDA GPU the sizes are those of the paper (448 px, 200 classes, ten filters each), on a CPU small ones. `kept`
counts the bytes that autograd keeps for the backward pass, the same on both devices.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import TimmBackbones
from methods.dfl_cnn import initialise
from methods.dfl_cnn.bank import max_response
from methods.dfl_cnn.model import DFLCNN
from methods.interface import Method
from methods.plain.model import Plain

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
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


def finish() -> None:
    if CUDA:
        torch.cuda.synchronize()


def seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each, taken in turns so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            finish()
            start = time.perf_counter()
            run()
            finish()
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def kept(forward: Callable[[], object]) -> int:
    """Bytes that `forward` leaves for its backward pass, each storage once."""
    storages: dict[int, int] = {}
    alive: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        alive.append(tensor)  # or its address would be given to the next one
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()
    del result
    return sum(storages.values())


def peak(run: Callable[[], object]) -> int:
    """Bytes on the GPU at the height of `run` beyond what is held before it."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() - before


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

    names = ["ours", "released"] if CUDA else list(ways)  # on a GPU the formula would keep 200 GB
    times = seconds({name: lambda name=name: run(name) for name in names[:2]}, rounds=20 if CUDA else 9)
    if "slow" in names:  # alone: the memory it frees would slow down whoever comes next
        times |= seconds({"slow": lambda: run("slow")}, rounds=1)
    held = {name: kept(lambda name=name: ways[name](features, filters)) for name in names}
    benchmark.pedantic(run, args=("ours",), rounds=3, warmup_rounds=1)
    for name in names[1:]:
        benchmark.extra_info[f"time of {name} / ours"] = round(times[name] / times["ours"], 2)
        benchmark.extra_info[f"kept by {name} / ours"] = round(held[name] / held["ours"], 2)
    if CUDA:
        highest = {name: peak(lambda name=name: run(name)) for name in names}
        benchmark.extra_info["peak memory of released / ours"] = round(highest["released"] / highest["ours"], 2)
    tolerance = {"rtol": 2e-2, "atol": 1.0} if CUDA else {"rtol": 1e-4, "atol": 1e-3}
    with torch.no_grad():
        torch.testing.assert_close(ours(features, filters), released(features, filters), **tolerance)
    assert held["ours"] < held["released"]


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


class Step:
    """One optimiser step of a method: bfloat16 and channels_last on a GPU, float32 on a CPU."""

    def __init__(self, method: Method, images: Tensor, labels: Tensor) -> None:
        self.method = method.to(DEVICE, memory_format=torch.channels_last)
        self.images = images.to(DEVICE, memory_format=torch.channels_last)
        self.labels = labels.to(DEVICE)
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=1e-4, momentum=0.9)

    def forward(self) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            return torch.stack(list(self.method.losses(self.images, self.labels).values())).sum()

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.forward().backward()
        self.optimizer.step()
        finish()


@pytest.mark.benchmark(group="dfl_cnn step")
@pytest.mark.parametrize(
    ("backbone", "image_size", "size", "classes"),
    [("vgg16", 448, 32, 200), ("resnet50", 448, 32, 200)]
    if CUDA
    else [("vgg11", 112, 2, 50), ("resnet18", 128, 8, 50)],
)
@pytest.mark.parametrize("compiled", [False, True] if CUDA else [False])
def test_step_against_plain(benchmark, backbone, image_size, size, classes, compiled):
    images, labels = torch.randn(size, 3, image_size, image_size), torch.arange(size) % classes
    source = TimmBackbones(backbone, image_size)
    steps = {
        "dfl_cnn": Step(DFLCNN(source, classes), images, labels),
        "plain": Step(Plain(source, classes), images, labels),
    }
    if compiled:
        for step in steps.values():
            step.method.losses = torch.compile(step.method.losses, fullgraph=True)
    times = seconds(steps, rounds=20 if CUDA else 5)
    held = {name: kept(step.forward) for name, step in steps.items()}
    benchmark.pedantic(steps["dfl_cnn"], rounds=3, warmup_rounds=1)
    benchmark.extra_info["step / plain's step"] = round(times["dfl_cnn"] / times["plain"], 3)
    benchmark.extra_info["kept / plain's"] = round(held["dfl_cnn"] / held["plain"], 3)
    benchmark.extra_info["images/s"] = round(size / times["dfl_cnn"], 1)
    if CUDA:
        highest = {name: peak(step) for name, step in steps.items()}
        benchmark.extra_info["peak memory / plain's"] = round(highest["dfl_cnn"] / highest["plain"], 3)
