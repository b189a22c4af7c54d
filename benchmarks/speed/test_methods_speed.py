"""What every method costs against the plain backbone on the same network: time and memory, in training and inference.

Methods are discovered: a new one is measured without an entry here. On a CUDA GPU the network, image size and batch are
those of the method's recipe (bfloat16), on a CPU smaller ones (float32).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import methods
from benchmarks.planning import method_files, recipes
from benchmarks.profiling.counting import Counts, count
from benchmarks.training.optim import take_steps
from methods.backbones import TimmBackbones
from methods.interface import Method
from tests.helpers.speed import CUDA, DEVICE, finish, kept, peak, random_batch, seconds

CLASSES = 200
SMALLER = {"vgg16": "resnet18", "swin_base_patch4_window12_384": "swin_tiny_patch4_window7_224"}
"""What stands for a large network on a CPU."""


class Training:
    """A method, an optimiser and one batch; channels last, as in a Run."""

    def __init__(self, method: Method, images: Tensor, labels: Tensor) -> None:
        self.method = method.to(DEVICE).to(memory_format=torch.channels_last).train()
        self.images = images.to(DEVICE).to(memory_format=torch.channels_last)
        self.labels = labels.to(DEVICE)
        # So small a rate that the weights hardly change, however many steps are taken.
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=1e-6, momentum=0.9)

    def compile(self) -> None:
        for name in self.method.loss_functions:
            setattr(self.method, name, torch.compile(getattr(self.method, name), fullgraph=True))

    def first_loss(self) -> Tensor:
        """The forward pass of the first optimiser step, a scalar."""
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            losses = next(iter(self.method.steps(self.images, self.labels)))
        return torch.stack(list(losses.values())).sum()

    def step(self) -> None:
        """All optimiser steps of one batch; waits until they are finished."""
        for _ in take_steps(self.method, self.images, self.labels, self.optimizer, "bf16" if CUDA else "fp32"):
            pass
        finish()

    def counts(self) -> Counts:
        """The work of a step."""
        self.step()  # the first one creates the optimiser's state
        return count(self.method, self.step)

    def peak(self) -> int:
        """Most bytes on the GPU during a step, with this method's weights, gradients and momentum. CUDA only."""
        self.step()
        self.optimizer.zero_grad()
        weights = sum(one.nbytes for one in self.method.parameters())
        return peak(self.step) + 2 * weights


def setting(name: str) -> tuple[str, int, int]:
    """Network, image size in pixels and batch size."""
    backbone = method_files.method_file(name).recipe.backbone
    if CUDA:
        return backbone, recipes.recipe_for(name, "paper", "paper", "", backbone).image_size, 32
    return SMALLER.get(backbone, backbone), 112, 4


@pytest.mark.benchmark(group="training step of every method")
@pytest.mark.parametrize("compiled", [False, True] if CUDA else [False])
@pytest.mark.parametrize("name", methods.available())
def test_training_step_against_plain(benchmark: BenchmarkFixture, name: str, compiled: bool) -> None:
    network, pixels, size = setting(name)
    source, batch = TimmBackbones(network, pixels), random_batch(size, pixels, CLASSES)
    ours = Training(methods.load(name)(source, CLASSES), *batch)
    plain = Training(methods.load("plain")(source, CLASSES), *batch)
    work = [one.counts() for one in (ours, plain)] if benchmark.enabled else []  # compiled code can't be counted
    if compiled:
        ours.compile()
        plain.compile()
    benchmark.pedantic(ours.step, rounds=3, warmup_rounds=1)
    if not benchmark.enabled:
        return
    times = seconds({"ours": ours.step, "plain": plain.step}, rounds=20 if CUDA else 5)
    backbone_passes = work[0].backbone_images / size
    notes = {
        "images/s": size / times["ours"],
        "backbone passes": backbone_passes,
        "time / plain's": times["ours"] / times["plain"],
        "time / plain's on as many passes": times["ours"] / times["plain"] / backbone_passes,
        "FLOPs / plain's": work[0].flops / work[1].flops,
    }
    if not compiled:  # of compiled code it is not known
        held = [kept(one.first_loss, one.method.parameters()) for one in (ours, plain)]
        notes["kept for backward / plain's"] = held[0] / held[1]
    if CUDA:
        notes["peak memory / plain's"] = ours.peak() / plain.peak()
    benchmark.extra_info["setting"] = f"{network}, {pixels} px, batch {size}, {CLASSES} classes"
    benchmark.extra_info |= {key: round(value, 3) for key, value in notes.items()}


@pytest.mark.benchmark(group="inference of every method")
@pytest.mark.parametrize("name", methods.available())
def test_inference_against_plain(benchmark: BenchmarkFixture, name: str) -> None:
    network, pixels, size = setting(name)
    source, images = TimmBackbones(network, pixels), random_batch(size, pixels, CLASSES)[0].to(DEVICE)

    def predicting(method: str) -> Callable[[], None]:
        built = methods.load(method)(source, CLASSES).to(DEVICE).eval()

        def predict() -> None:
            with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
                built(images)
            finish()

        return predict

    ours = predicting(name)
    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        times = seconds({"ours": ours, "plain": predicting("plain")})
        benchmark.extra_info["time / plain's"] = round(times["ours"] / times["plain"], 3)
