"""Speed of the confusion term against one pair after the other. A step is measured with those of all methods."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.pairwise_confusion.model import PairwiseConfusion
from tests.helpers.speed import DEVICE, compare

BATCH, CLASSES = 144, 200


@pytest.mark.benchmark(group="pairwise_confusion term, forward and backward")
def test_confusion(benchmark: BenchmarkFixture) -> None:
    method = PairwiseConfusion(TimmBackbones("test_resnet", 64), CLASSES).to(DEVICE)
    logits = torch.randn(BATCH, CLASSES, device=DEVICE, requires_grad=True)
    labels = torch.randint(CLASSES, (BATCH,), device=DEVICE)

    def pair_by_pair() -> Tensor:
        half, predicted, total = BATCH // 2, logits.softmax(dim=1), logits.new_zeros(())
        for i in range(half):
            if labels[i] != labels[i + half]:
                total = total + (predicted[i] - predicted[i + half]).square().sum()
        return total / BATCH

    ways = {"ours": lambda: method.confusion(logits, labels), "pair by pair": pair_by_pair}
    torch.testing.assert_close(ways["ours"](), pair_by_pair())
    compare(benchmark, {name: lambda way=way: way().backward() for name, way in ways.items()}, ways)
