"""Speed of API-Net's mining of pairs and of its interaction. Its step and inference are measured with all methods'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.api_net.model import APINet
from methods.backbones import TimmBackbones
from methods.ops.pairs import nearest
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, CHANNELS = (120, 2048) if CUDA else (32, 1280)
"""On a GPU the paper's, on a CPU the arena's."""


def nearest_on_the_host(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As released code goes about it: distances are brought to the host, and the pairs found there go back."""
    squares = features.pow(2).sum(dim=1)
    distances = (squares[:, None] + squares - 2 * features @ features.T).detach().cpu().numpy()
    classes = labels.cpu().numpy()
    same_class = classes[:, None] == classes
    own = np.where(same_class & ~np.eye(len(classes), dtype=bool), distances, np.inf).argmin(axis=1)
    other = np.where(same_class, np.inf, distances).argmin(axis=1)
    pairs = [np.zeros((len(classes), 2)) for _ in range(2)]
    for i in range(len(classes)):
        pairs[0][i], pairs[1][i] = (i, own[i]), (i, other[i])
    intra, inter = (torch.from_numpy(one).long().to(features.device) for one in pairs)
    return intra[:, 1], inter[:, 1]


@pytest.mark.benchmark(group="api_net mining of pairs")
def test_mining(benchmark: BenchmarkFixture) -> None:
    features = torch.randn(BATCH, CHANNELS, device=DEVICE)
    labels = torch.arange(BATCH, device=DEVICE) // 4
    ways = {"ours": lambda: nearest(features, labels), "released": lambda: nearest_on_the_host(features, labels)}
    for found, slow in zip(ways["ours"](), ways["released"](), strict=True):
        assert torch.equal(found.position, slow)
    compare(benchmark, ways, rounds=20)


@pytest.mark.benchmark(group="api_net interaction and classifier, forward and backward")
def test_interaction(benchmark: BenchmarkFixture) -> None:
    method = APINet(TimmBackbones("test_resnet", 64), 200).to(DEVICE).eval()
    channels = method.backbone.channels[0]
    first, second = (torch.randn(2 * BATCH, channels, device=DEVICE, requires_grad=True) for _ in range(2))

    def together() -> Tensor:
        return method.head(method.interact(first, second))

    def one_by_one() -> Tensor:
        """The equations in order, one after the other, as in released code."""
        mutual = method.mutual(torch.cat([first, second], dim=1))
        own, other = torch.sigmoid(mutual * first), torch.sigmoid(mutual * second)
        four = [first * own + first, first * other + first, second * other + second, second * own + second]
        logits = torch.stack([method.head(feature) for feature in four])
        return logits.view(2, 2, *logits.shape[1:])

    torch.testing.assert_close(together(), one_by_one(), rtol=1e-4, atol=1e-5)
    ways = {"ours": together, "one by one": one_by_one}
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in ways.items()}, ways)
