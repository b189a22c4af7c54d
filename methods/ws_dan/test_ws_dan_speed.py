"""Speed of WS-DAN's pooling, of cropping and dropping for a whole batch, and of its centres.

On a CUDA GPU at the paper's size (Inception-v3, 448 px, 32 maps), on a CPU at a smaller one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.ops.attention import crops
from methods.ops.attention.centres import Centres
from methods.ops.attention.pooling import bilinear_attention_pool
from tests.helpers.speed import CUDA, DEVICE, compare

SIZE, BATCH, CLASSES, MAPS, CHANNELS, CELLS = (448, 32, 200, 32, 768, 26) if CUDA else (160, 4, 50, 32, 768, 8)
PADDING = 0.1


# ---- pooling ----------------------------------------------------------------------------------------------------


def pool_map_by_map(attention: Tensor, features: Tensor, maximum: bool) -> Tensor:
    """The formula, and for maximum pooling released code: one A_k ⊙ F after the other."""
    products = [features * one[:, None] for one in attention.unbind(1)]
    parts = torch.cat([p.amax((2, 3)) if maximum else p.mean((2, 3)) for p in products], dim=1)
    return F.normalize(parts.sign() * (parts.abs() + 1e-12).sqrt(), dim=1)


@pytest.mark.benchmark(group="ws_dan pooling, forward and backward")
@pytest.mark.parametrize("maximum", [False, True], ids=["average", "maximum"])
def test_pooling(benchmark: BenchmarkFixture, maximum: bool):
    attention = torch.rand(BATCH, MAPS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    features = torch.rand(BATCH, CHANNELS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    weight = torch.rand(BATCH, MAPS * CHANNELS, device=DEVICE)

    def loss(pool: Callable[[Tensor, Tensor, bool], Tensor]) -> Tensor:
        return (pool(attention, features, maximum) * weight).sum()

    torch.testing.assert_close(
        bilinear_attention_pool(attention, features, maximum), pool_map_by_map(attention, features, maximum)
    )
    ways = {"ours": bilinear_attention_pool, "map by map": pool_map_by_map}
    forward = {name: lambda way=way: loss(way) for name, way in ways.items()}
    compare(benchmark, {name: lambda way=way: loss(way).backward() for name, way in ways.items()}, forward)


# ---- cropping and dropping --------------------------------------------------------------------------------------


def augment_in_batch(images: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    size = (images.shape[2], images.shape[3])
    regions = []
    for low, high in ((0.4, 0.6), (0.2, 0.5)):
        chosen = crops.choose_maps(attention, torch.rand(attention.shape[:2], device=images.device))
        threshold = low + (high - low) * torch.rand(len(images), device=images.device)
        regions.append(crops.salient(chosen, size, threshold))
    cropped = crops.crop(images, crops.bounding_boxes(regions[0], PADDING))
    return cropped, crops.drop(images, regions[1])


def augment_one_by_one(images: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """As in released code: all maps at image size, draws on the host, one sample after the other."""
    height, width = images.shape[2:]
    maps = F.interpolate(attention, size=(height, width), mode="bilinear")
    weights = maps.mean((2, 3)).sqrt()
    weights = (weights / weights.sum(1, keepdim=True)).cpu().double().numpy()
    crops, drops = [], []
    for image, one, weight in zip(images, maps, weights, strict=True):
        first, second = np.random.default_rng().choice(len(one), 2, p=weight / weight.sum())
        rows, columns = torch.nonzero(one[first] >= 0.5 * one[first].max()).unbind(1)
        top = max(int(rows.min()) - int(PADDING * height), 0)
        left = max(int(columns.min()) - int(PADDING * width), 0)
        part = image[None, :, top : int(rows.max()) + int(PADDING * height), left:]
        part = part[..., : int(columns.max()) + int(PADDING * width) - left]
        crops.append(F.interpolate(part, size=(height, width), mode="bilinear", align_corners=True))
        drops.append(image * (one[second] < 0.35 * one[second].max()))
    return torch.cat(crops), torch.stack(drops)


@pytest.mark.benchmark(group="ws_dan cropping and dropping")
def test_cropping_and_dropping(benchmark: BenchmarkFixture):
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE)
    attention = torch.rand(BATCH, MAPS, CELLS, CELLS, device=DEVICE) ** 8
    ways = {"ours": augment_in_batch, "one by one": augment_one_by_one}
    compare(benchmark, {name: lambda way=way: way(images, attention) for name, way in ways.items()})


# ---- centres ----------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="ws_dan centres")
def test_centres(benchmark: BenchmarkFixture):
    centres = Centres(CLASSES, MAPS * CHANNELS).to(DEVICE)
    features = F.normalize(torch.rand(BATCH, MAPS * CHANNELS, device=DEVICE), dim=1)
    labels = torch.randint(CLASSES, (BATCH,), device=DEVICE)
    table = torch.zeros_like(centres.centres)

    def one_by_one() -> None:
        for feature, label, old in zip(features, labels.tolist(), table[labels], strict=True):
            table[label] += 0.05 * (feature - F.normalize(old, dim=0))

    compare(benchmark, {"ours": lambda: centres.update(features, labels), "one by one": one_by_one})
