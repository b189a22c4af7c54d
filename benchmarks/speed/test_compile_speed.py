"""What compiling gains plain: a training step in each mode, and the filled-up last batch of an evaluation.

On a CUDA GPU: ResNet-50 at 448 px in bfloat16, and ResNet-18 at 96 px, which waits for the host. On a CPU: a tiny net.
"""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import methods
from benchmarks.training.compiling.compile import CompiledMethod
from benchmarks.training.networks.build_method import autocast
from benchmarks.training.optim import take_steps
from methods.backbones import TimmBackbones
from methods.interface import Method
from results.settings import CompileMode
from tests.helpers.speed import CUDA, DEVICE, OURS, compare, finish, random_batch

CLASSES = 200
PRECISION = "bf16" if CUDA else "fp32"
NETWORKS = [("resnet50", 448, 64), ("resnet18", 96, 64)] if CUDA else [("test_resnet", 64, 16)]
"""Network, image size in pixels and batch size."""
LAST = 42
"""Of 64: images of the last of the batches that CUB's training images make. An evaluation's is as full on average."""


@pytest.fixture(autouse=True)
def _only_to_measure(benchmark: BenchmarkFixture) -> None:
    if not benchmark.enabled:
        pytest.skip("compiling takes minutes on a CPU; tests/training/compiling has what must hold")


def plain(network: str, pixels: int) -> Method:
    torch.manual_seed(0)
    built = methods.load("plain")(TimmBackbones(network, pixels), CLASSES)
    return built.to(DEVICE).to(memory_format=torch.channels_last)


class Training:
    """A method in training, compiled in a mode or not, and one batch."""

    def __init__(self, network: str, pixels: int, size: int, mode: CompileMode | None) -> None:
        images, labels = random_batch(size, pixels, CLASSES)
        self.images = images.to(DEVICE).to(memory_format=torch.channels_last)
        self.labels = labels.to(DEVICE)
        self.method = plain(network, pixels).train()
        # So small a rate that the weights hardly change, however many steps are taken.
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=1e-6, momentum=0.9, fused=CUDA)
        if mode is not None:
            compiled = CompiledMethod(self.method, mode)
            with compiled.learning():
                for _ in range(compiled.rounds):
                    self.step()

    def step(self) -> None:
        for _ in take_steps(self.method, self.images, self.labels, self.optimizer, PRECISION):
            pass
        finish()


@pytest.mark.benchmark(group="compiled training step")
@pytest.mark.parametrize("mode", get_args(CompileMode) if CUDA else ["default"])
@pytest.mark.parametrize(("network", "pixels", "size"), NETWORKS)
def test_compiled_step_against_eager(
    benchmark: BenchmarkFixture, network: str, pixels: int, size: int, mode: CompileMode
) -> None:
    ours, eager = (Training(network, pixels, size, one) for one in (mode, None))
    compare(benchmark, {OURS: ours.step, "eager": eager.step})
    benchmark.extra_info["setting"] = f"{network}, {pixels} px, batch {size}, {PRECISION}"


@pytest.mark.benchmark(group="last batch of an evaluation")
@pytest.mark.parametrize(("network", "pixels", "size"), NETWORKS)
def test_last_batch_filled_up_against_eager(benchmark: BenchmarkFixture, network: str, pixels: int, size: int) -> None:
    method = plain(network, pixels).eval()
    images = random_batch(size, pixels, CLASSES)[0].to(DEVICE).to(memory_format=torch.channels_last)
    last = images[: size * LAST // 64]
    compiled = CompiledMethod(method)
    forward = compiled.forward.in_batches_of(size)

    @torch.inference_mode()
    def filled() -> None:
        with autocast(DEVICE, PRECISION):
            forward(last)
        finish()

    @torch.inference_mode()
    def eager() -> None:
        with autocast(DEVICE, PRECISION):
            method(last)
        finish()

    with compiled.learning():
        filled()
    compare(benchmark, {OURS: filled, "eager": eager})
    benchmark.extra_info["setting"] = f"{network}, {pixels} px, {len(last)} of {size} images, {PRECISION}"
