"""What bilinear pooling, its SVMs and a whole training step cost: `pytest benchmarks -k bilinear --benchmark-enable`.

On CUDA at the paper's size (VGG-16, 448 px, bfloat16), on a CPU at a small one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import TimmBackbones
from methods.bilinear_cnn.model import BilinearCNN, bilinear_pool
from methods.bilinear_cnn.roots import signed_sqrt
from methods.bilinear_cnn.svm import one_vs_all_svm
from methods.interface import Method
from methods.plain.model import Plain

CUDA = torch.cuda.is_available()
BACKBONE, SIZE, BATCH, CLASSES = ("vgg16", 448, 32, 200) if CUDA else ("vgg11", 96, 4, 20)


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda" if CUDA else "cpu")


def seconds(work: Callable[[], Any]) -> float:
    """One call, the device's work included."""
    start = time.perf_counter()
    work()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(work: Callable[[], Any], reference: Callable[[], Any], rounds: int = 5) -> float:
    """Median of time over time, in turns, so that a busy machine is busy for both."""
    for each in (work, reference):
        seconds(each)
    return median(seconds(work) / seconds(reference) for _ in range(rounds))


# ---- the descriptor ---------------------------------------------------------------------------------------------


def descriptor(features: Tensor) -> Tensor:
    return F.normalize(signed_sqrt(bilinear_pool(features, features), "bounded", 1e-5))


def released_descriptor(features: Tensor) -> Tensor:
    """As replications have it: batched product, plus epsilon, root, L2."""
    flat = features.flatten(2)
    return F.normalize((torch.bmm(flat, flat.transpose(1, 2)).flatten(1) / flat.shape[2] + 1e-5).sqrt())


def slow_descriptor(features: Tensor) -> Tensor:
    """As the paper writes it: an outer product at every position, summed up."""
    total = torch.zeros(len(features), features.shape[1] ** 2, device=features.device)
    for position in features.flatten(2).unbind(2):
        total = total + (position[:, :, None] * position[:, None, :]).flatten(1)
    return F.normalize(total.sign() * (total.abs() / features[0, 0].numel()).sqrt())


@pytest.mark.parametrize("other", [released_descriptor, slow_descriptor], ids=["released", "formula"])
def test_descriptor(benchmark: BenchmarkFixture, device: torch.device, other: Callable[[Tensor], Tensor]):
    side = 28 if CUDA else 6
    features = torch.rand(BATCH, 512, side, side, device=device, requires_grad=True)
    torch.testing.assert_close(descriptor(features), other(features), rtol=1e-3, atol=1e-4)

    def forward_and_back(make: Callable[[Tensor], Tensor]) -> None:
        torch.autograd.grad(make(features).square()[:, ::7].sum(), features)

    benchmark.pedantic(forward_and_back, args=(descriptor,), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["time over the other's"] = ratio(
            lambda: forward_and_back(descriptor), lambda: forward_and_back(other)
        )


# ---- the SVMs ---------------------------------------------------------------------------------------------------


def test_svms_by_inner_products(benchmark: BenchmarkFixture, device: torch.device):
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
        return one_vs_all_svm(descriptors, labels, classes, device)

    benchmark.pedantic(ours, rounds=2, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["time over scikit-learn on the descriptors"] = ratio(ours, direct, rounds=1)


# ---- the step ---------------------------------------------------------------------------------------------------


class Training:
    """A method, an optimizer and one batch: bfloat16 and channels_last on CUDA."""

    def __init__(self, method: Method, device: torch.device) -> None:
        self.method = method.to(device).train()
        self.images = torch.randn(BATCH, 3, SIZE, SIZE, device=device)
        self.labels = torch.arange(BATCH, device=device) % CLASSES
        if CUDA:
            self.method.to(memory_format=torch.channels_last)
            self.images = self.images.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(method.parameters(), lr=1e-5, momentum=0.9)

    def step(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=CUDA):
            losses = self.method.losses(self.images, self.labels)
        torch.stack(list(losses.values())).sum().backward()
        self.optimizer.step()

    def peak_memory(self, held_by_others: int = 0) -> int:
        """Bytes on the GPU at a step's worst moment; weights and momentum included."""
        self.step()
        torch.cuda.reset_peak_memory_stats()
        self.step()
        return torch.cuda.max_memory_allocated() - held_by_others


@pytest.mark.parametrize("options", [{}, {"sqrt": False, "l2": False}], ids=["paper", "neither"])
def test_step(benchmark: BenchmarkFixture, device: torch.device, options: dict[str, Any]):
    """Against the plain backbone, trained on as many images."""
    plain = Training(Plain(TimmBackbones(BACKBONE, SIZE), CLASSES), device)
    plain_memory, held = (plain.peak_memory(), torch.cuda.memory_allocated()) if CUDA else (0, 0)
    ours = Training(BilinearCNN(TimmBackbones(BACKBONE, SIZE), CLASSES, **options), device)
    benchmark.pedantic(ours.step, rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["setting"] = f"{BACKBONE}, {SIZE} px, batch {BATCH}, {CLASSES} classes"
        benchmark.extra_info["time over plain"] = ratio(ours.step, plain.step)
    if benchmark.enabled and CUDA:
        benchmark.extra_info["memory over plain"] = ours.peak_memory(held) / plain_memory
