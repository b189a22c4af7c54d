"""Speed of CAL's effect: the counterfactual beside the prediction, against released code's way.

On a CUDA GPU at the paper's size (ResNet-101, 448 px, 32 maps), on a CPU at a smaller one. Crops, drops and centres are
WS-DAN's, and are measured there.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn import functional as F

from methods.cal.model import CAL, Look
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, MAPS, CHANNELS, CELLS, CLASSES = (16, 32, 2048, 14, 200) if CUDA else (4, 32, 512, 7, 50)


class NoBackbone(nn.Module):
    channels = (CHANNELS,)


class NoSource:
    """The operators under test start from features."""

    name = "none"

    def features(self, taps: object, name: str | None = None) -> NoBackbone:
        return NoBackbone()


def as_released(method: CAL, attention: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Both predictions by einsum and classifier, then their difference."""
    logits = []
    for maps in (attention, method.wrong_attention(attention)):
        parts = torch.einsum("bmhw,bchw->bmc", maps, features).flatten(1) / maps[0, 0].numel()
        logits.append(method.classifier(100 * F.normalize(parts.sign() * (parts.abs() + 1e-6).sqrt(), dim=1)))
    return logits[0], logits[0] - logits[1]


def ours(method: CAL, attention: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    seen = Look(features, attention, method.represent(attention, features))
    return method.classify(seen.h), method.effect(seen)


@pytest.mark.benchmark(group="cal prediction and effect, forward and backward")
def test_prediction_and_effect(benchmark: BenchmarkFixture):
    method = CAL(NoSource(), CLASSES, maps=MAPS, regularisation=0).to(DEVICE).eval()
    attention = torch.rand(BATCH, MAPS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    features = torch.rand(BATCH, CHANNELS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    torch.testing.assert_close(
        ours(method, attention, features), as_released(method, attention, features), rtol=1e-3, atol=1e-4
    )
    forward = {
        name: lambda way=way: sum(logits.square().sum() for logits in way(method, attention, features))
        for name, way in {"ours": ours, "released": as_released}.items()
    }
    compare(benchmark, {name: lambda way=way: way().backward() for name, way in forward.items()}, forward)
