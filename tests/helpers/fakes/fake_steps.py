"""A method whose steps are known: FLOPs, passes, and where they sleep."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.profiling import breakdown, timing
from benchmarks.training.optim import take_steps
from methods.interface import Gather, Method, alone

CPU = torch.device("cpu")
NAP = 0.03
"""Seconds; a step of the fake method takes a hundredth of it."""


class Backbone(nn.Module):
    """Known work: 8 filters of 3 × 3 × 3 at 10 × 10 positions."""

    is_backbone = True

    def __init__(self, nap: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.nap = nap

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.nap)
        return self.convolution(images).mean((2, 3))


class Head(nn.Linear):
    nap = 0.0

    def forward(self, features: Tensor) -> Tensor:
        time.sleep(self.nap)
        return super().forward(features)


class SleepyGradient(torch.autograd.Function):
    """The identity, with a slow gradient."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        time.sleep(NAP)
        return gradient


class SleepySGD(torch.optim.SGD):
    nap = 0.0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        time.sleep(self.nap)
        super().step(closure)


class Fake(Method):
    """Passes each image through the backbone twice and half of them once more; sleeps in one chosen place."""

    def __init__(self, sleeps: str = "") -> None:
        super().__init__()
        self.sleeps = sleeps
        self.backbone = Backbone(NAP / 3 if sleeps == "backbone" else 0.0)  # three passes
        self.head = Head(8, 5)
        self.head.nap = NAP if sleeps == "head" else 0.0

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images) + self.backbone(images)
        self.backbone(images[: len(images) // 2])
        if self.sleeps == "method":
            time.sleep(NAP)
        logits = self.head(features)
        return SleepyGradient.apply(logits) if self.sleeps == "backward" else logits

    def after_step(self, gather: Gather = alone) -> None:
        if self.sleeps == "after_step":
            time.sleep(NAP)


def stop_clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the clocks of a profile advance only in the fake method's sleep and in the returned function, so that times
    are exact on a busy machine."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = SimpleNamespace(sleep=sleep, perf_counter=lambda: now, monotonic=lambda: now)
    for module in (sys.modules[__name__], breakdown, timing):
        monkeypatch.setattr(module, "time", clock)
    return sleep


def images_and_labels(batch: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, 3, 10, 10), torch.arange(batch) % 5


def optimizer_of(method: Method, nap: float = 0.0) -> SleepySGD:
    optimizer = SleepySGD(method.parameters(), lr=0.01, momentum=0.9)
    optimizer.nap = nap
    return optimizer


def training(method: Method, optimizer: torch.optim.Optimizer) -> Any:
    images, labels = images_and_labels()
    return lambda: list(take_steps(method, images, labels, optimizer, "fp32"))
