"""Speed and memory of MC-Loss's two terms against the formulas class by class, and released code's way of pooling."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.mc_loss.channels import channel_mask, class_responses, diversity
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, CLASSES = (32 if CUDA else 2), 200
SIZES = [10] * 152 + [11] * 48


@pytest.mark.benchmark(group="mc_loss terms, forward and backward")
def test_terms(benchmark: BenchmarkFixture) -> None:
    maps = torch.rand(BATCH, 2048, 14, 14, device=DEVICE, requires_grad=True)
    labels = torch.arange(BATCH, device=DEVICE)
    mask = channel_mask(2048, CLASSES, 0.4, DEVICE)

    def ours() -> Tensor:
        return F.cross_entropy(class_responses(maps * mask, CLASSES), labels) + diversity(maps, CLASSES, "classes")

    def slow() -> Tensor:
        """One class after the other."""
        masked, spread = (maps * mask).split(SIZES, dim=1), maps.flatten(2).softmax(dim=2).split(SIZES, dim=1)
        logits = torch.stack([part.amax(dim=1).mean(dim=(1, 2)) for part in masked], dim=1)
        overlap = [1 - part.amax(dim=1).sum(dim=1).mean() / part.shape[1] for part in spread]
        return F.cross_entropy(logits, labels) + torch.stack(overlap).mean()

    def run(way: str) -> None:
        maps.grad = None
        forward[way]().backward()

    forward = {"ours": ours, "slow": slow}
    torch.testing.assert_close(ours(), slow(), rtol=1e-4, atol=1e-5)
    compare(benchmark, {name: lambda name=name: run(name) for name in forward}, forward, rounds=3)
