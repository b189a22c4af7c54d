"""What bilinear pooling, its SVMs and a whole training step cost: `pytest benchmarks -k bilinear --benchmark-only`.

On CUDA at the paper's size (VGG-16, 448 px, bfloat16), on a CPU at a small one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.compare_with_plain import note_others
from benchmarks.speed.stopwatch import CUDA, DEVICE, Training, random_batch, ratio, seconds
from methods.backbones import TimmBackbones
from methods.bilinear_cnn.model import BilinearCNN, bilinear_pool
from methods.bilinear_cnn.roots import signed_sqrt
from methods.bilinear_cnn.svm import one_vs_all_svm
from methods.plain.model import Plain

BACKBONE, SIZE, BATCH, CLASSES = ("vgg16", 448, 32, 200) if CUDA else ("vgg11", 96, 4, 20)


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


@pytest.mark.benchmark(group="bilinear_cnn descriptor, forward and backward")
@pytest.mark.parametrize("other", [released_descriptor, slow_descriptor], ids=["released", "formula"])
def test_descriptor(benchmark: BenchmarkFixture, other: Callable[[Tensor], Tensor]):
    side = 28 if CUDA else 6
    features = torch.rand(BATCH, 512, side, side, device=DEVICE, requires_grad=True)
    torch.testing.assert_close(descriptor(features), other(features), rtol=1e-3, atol=1e-4)

    def forward_and_back(make: Callable[[Tensor], Tensor]) -> None:
        torch.autograd.grad(make(features).square()[:, ::7].sum(), features)

    benchmark.pedantic(forward_and_back, args=(descriptor,), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        ways = {"ours": descriptor, other.__name__.removesuffix("_descriptor"): other}
        note_others(benchmark, seconds({name: lambda way=way: forward_and_back(way) for name, way in ways.items()}))


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

    benchmark.pedantic(ours, rounds=2, warmup_rounds=1)
    if benchmark.enabled:
        note_others(benchmark, seconds({"ours": ours, "scikit-learn on the descriptors": direct}, rounds=1))


# ---- the step ---------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="bilinear_cnn step")
@pytest.mark.parametrize("options", [{}, {"sqrt": False, "l2": False}], ids=["paper", "neither"])
def test_step(benchmark: BenchmarkFixture, options: dict[str, Any]):
    """Against the plain backbone, trained on as many images."""
    source, batch = TimmBackbones(BACKBONE, SIZE), random_batch(BATCH, SIZE, CLASSES)
    if benchmark.enabled:
        plain = Training(Plain(source, CLASSES), *batch)
        plain_memory, held = (plain.peak(above=0), torch.cuda.memory_allocated()) if CUDA else (0, 0)
    ours = Training(BilinearCNN(source, CLASSES, **options), *batch)
    benchmark.pedantic(ours.step, rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["setting"] = f"{BACKBONE}, {SIZE} px, batch {BATCH}, {CLASSES} classes"
        benchmark.extra_info["time over plain"] = ratio(ours.step, plain.step)
    if benchmark.enabled and CUDA:  # weights and momentum included
        benchmark.extra_info["memory over plain"] = ours.peak(above=held) / plain_memory
