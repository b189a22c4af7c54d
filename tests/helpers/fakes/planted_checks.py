"""Work for checks of a device that ends in every way; a process of its own imports it by name."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.device_check.finding import Finding
from benchmarks.device_check.plan import PlannedCheck
from methods.interface import Method
from results.device_check import Check, DeviceCheck


def sound(value: float) -> Finding:
    return Finding("ok", "as it should be", {"value": value})


def amiss() -> Finding:
    return Finding("wrong", "logits differ by 3e-01")


def crash() -> Finding:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("it goes on after a segmentation fault")


def hang() -> Finding:
    time.sleep(600)
    return Finding("ok")


def raise_an_error() -> Finding:
    raise RuntimeError("an illegal memory access was encountered\nsecond line")


def run_out_of_memory() -> Finding:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def planned(work: Any, *arguments: Any, seconds: float = 60, method: str | None = None, **more: Any) -> PlannedCheck:
    return PlannedCheck("values", seconds, work, arguments, method, **more)


class Heard:
    """Notes what it is told of the progress."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.results: list[Check] = []

    def begins(self, number: int, planned: PlannedCheck, left: float) -> None:
        self.begun.append(f"{number} {planned.label}")

    def ended(self, check: Check) -> None:
        self.results.append(check)


class Faulty(Method):
    """A linear layer whose logits are scaled by `factor` in float32 alone, as a broken kernel might."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.factor = nn.Linear(3, 5), factor

    def forward(self, images: Tensor) -> Tensor:
        logits = self.layer(images.mean((2, 3)))
        return logits * self.factor if images.dtype == torch.float32 else logits


class Drawing(Faulty):
    """Its losses depend on random numbers, one of which it draws in the type of its images."""

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        uniform = torch.rand(len(images), device=images.device)
        kept = torch.empty_like(images[:, 0, 0, 0]).bernoulli_(0.5)
        wrong = nn.functional.cross_entropy(self(images), labels, reduction="none")
        return {"weighted": (uniform * (1 + kept) * wrong).mean()}


class Broken(Faulty):
    """Can't be compiled in one graph."""

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if images.sum() > 0:
            return super().losses(images, labels)
        return {"other": self(images).square().mean()}


def device_check(*checks: Check, **more: Any) -> DeviceCheck:
    """A record of a GPU that nobody has."""
    known = {"device": "cuda", "name": "Paper GPU 9000", "small": False, "minutes": 9.0, "seconds": 12.5}
    return DeviceCheck(**{**known, "checks": list(checks), **more})
