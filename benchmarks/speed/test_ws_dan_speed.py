"""What WS-DAN costs: pooling, cropping and dropping in a batch, centres, and a whole step against three plain passes.

`pytest benchmarks/speed/test_ws_dan_speed.py --benchmark-only`. On a CUDA GPU at the paper's size (Inception-v3, 448
px, 32 maps, bfloat16), on a CPU at a small one. `kept` counts the bytes that autograd keeps for the backward pass, on
both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.compare_with_plain import note_others
from benchmarks.speed.stopwatch import CUDA, DEVICE, Training, kept, random_batch, ratio, seconds
from methods.backbones import TimmBackbones
from methods.plain.model import Plain
from methods.ws_dan import augment
from methods.ws_dan.centres import RATE, Centres
from methods.ws_dan.model import CROP_PADDING, INCEPTION_FEATURES, WSDAN
from methods.ws_dan.pooling import bilinear_attention_pool

SIZE, BATCH, CLASSES, MAPS, CHANNELS, CELLS = (448, 32, 200, 32, 768, 26) if CUDA else (160, 4, 50, 32, 768, 8)


# ---- pooling ----------------------------------------------------------------------------------------------------


def pool_map_by_map(attention: Tensor, features: Tensor, maximum: bool) -> Tensor:
    """The formula, and the way of released code for maximum pooling: one A_k ⊙ F after the other."""
    products = [features * one[:, None] for one in attention.unbind(1)]
    parts = torch.cat([p.amax((2, 3)) if maximum else p.mean((2, 3)) for p in products], dim=1)
    return F.normalize(parts.sign() * (parts.abs() + 1e-12).sqrt(), dim=1)


@pytest.mark.benchmark(group="ws_dan pooling, forward and backward")
@pytest.mark.parametrize("maximum", [False, True], ids=["average", "maximum"])
def test_pooling(benchmark: BenchmarkFixture, maximum: bool):
    attention = torch.rand(BATCH, MAPS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    features = torch.rand(BATCH, CHANNELS, CELLS, CELLS, device=DEVICE, requires_grad=True)
    weight = torch.rand(BATCH, MAPS * CHANNELS, device=DEVICE)

    def there_and_back(pool: Callable[[Tensor, Tensor, bool], Tensor]) -> Tensor:
        return (pool(attention, features, maximum) * weight).sum()

    torch.testing.assert_close(
        bilinear_attention_pool(attention, features, maximum), pool_map_by_map(attention, features, maximum)
    )
    benchmark.pedantic(lambda: there_and_back(bilinear_attention_pool).backward(), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        ways = {"ours": bilinear_attention_pool, "map by map": pool_map_by_map}
        times = seconds({name: lambda way=way: there_and_back(way).backward() for name, way in ways.items()})
        held = {name: kept(lambda way=way: there_and_back(way)) for name, way in ways.items()}
        note_others(benchmark, times, held)


# ---- cropping and dropping --------------------------------------------------------------------------------------


def augment_in_batch(images: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    size = (images.shape[2], images.shape[3])
    regions = []
    for low, high in ((0.4, 0.6), (0.2, 0.5)):
        chosen = augment.choose_maps(attention, torch.rand(attention.shape[:2], device=images.device))
        threshold = low + (high - low) * torch.rand(len(images), device=images.device)
        regions.append(augment.salient(chosen, size, threshold))
    cropped = augment.crop(images, augment.bounding_boxes(regions[0], CROP_PADDING))
    return cropped, augment.drop(images, regions[1])


def augment_one_by_one(images: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """As released code has it: all maps to image size, draws on the host, one sample after the other."""
    height, width = images.shape[2:]
    maps = F.interpolate(attention, size=(height, width), mode="bilinear")
    weights = maps.mean((2, 3)).sqrt()
    weights = (weights / weights.sum(1, keepdim=True)).cpu().double().numpy()
    crops, drops = [], []
    for image, one, weight in zip(images, maps, weights, strict=True):
        first, second = np.random.default_rng().choice(len(one), 2, p=weight / weight.sum())
        rows, columns = torch.nonzero(one[first] >= 0.5 * one[first].max()).unbind(1)
        top = max(int(rows.min()) - int(CROP_PADDING * height), 0)
        left = max(int(columns.min()) - int(CROP_PADDING * width), 0)
        part = image[None, :, top : int(rows.max()) + int(CROP_PADDING * height), left:]
        part = part[..., : int(columns.max()) + int(CROP_PADDING * width) - left]
        crops.append(F.interpolate(part, size=(height, width), mode="bilinear", align_corners=True))
        drops.append(image * (one[second] < 0.35 * one[second].max()))
    return torch.cat(crops), torch.stack(drops)


@pytest.mark.benchmark(group="ws_dan cropping and dropping")
def test_cropping_and_dropping(benchmark: BenchmarkFixture):
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE)
    attention = torch.rand(BATCH, MAPS, CELLS, CELLS, device=DEVICE) ** 8
    benchmark.pedantic(augment_in_batch, args=(images, attention), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        ways = {"ours": augment_in_batch, "one by one": augment_one_by_one}
        note_others(benchmark, seconds({name: lambda way=way: way(images, attention) for name, way in ways.items()}))


# ---- centres ----------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="ws_dan centres")
def test_centres(benchmark: BenchmarkFixture):
    centres = Centres(CLASSES, MAPS * CHANNELS).to(DEVICE)
    features = F.normalize(torch.rand(BATCH, MAPS * CHANNELS, device=DEVICE), dim=1)
    labels = torch.randint(CLASSES, (BATCH,), device=DEVICE)
    table = torch.zeros_like(centres.centres)

    def one_by_one() -> None:
        for feature, label, old in zip(features, labels.tolist(), table[labels], strict=True):
            table[label] += RATE * (feature - F.normalize(old, dim=0))

    benchmark.pedantic(centres.update, args=(features, labels), rounds=5, warmup_rounds=1)
    if benchmark.enabled:
        ways = {"ours": lambda: centres.update(features, labels), "one by one": one_by_one}
        note_others(benchmark, seconds(ways))


# ---- the step ---------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="ws_dan step")
@pytest.mark.parametrize("network", ["inception_v3", "mobilenetv2_100"])
def test_step(benchmark: BenchmarkFixture, network: str):
    """Against the same network with a plain classifier, cut at the same place, seeing the batch three times."""
    tap = INCEPTION_FEATURES if network == "inception_v3" else "final"
    source, batch = TimmBackbones(network, SIZE), random_batch(BATCH, SIZE, CLASSES)
    ours = Training(WSDAN(source, CLASSES, maps=MAPS), *batch)
    benchmark.pedantic(ours.step, rounds=2, warmup_rounds=1)
    if not benchmark.enabled:
        return
    benchmark.extra_info["setting"] = f"{network}, {SIZE} px, batch {BATCH}, {CLASSES} classes, {MAPS} maps"
    once = Training(Plain(source, CLASSES, tap=tap), *batch)
    thrice = Training(once.method, *batch, passes=3)
    benchmark.extra_info["time over three plain passes"] = ratio(ours.step, thrice.step)
    benchmark.extra_info["time over one plain pass"] = ratio(ours.step, once.step)
    held = [kept(training.loss, training.method.parameters()) for training in (ours, once)]
    benchmark.extra_info["kept over one plain pass"] = held[0] / held[1]
    if network == "inception_v3":
        whole = Training(Plain(source, CLASSES), *batch, passes=3)
        benchmark.extra_info["time over three plain passes of the whole network"] = ratio(ours.step, whole.step)
    if CUDA:
        benchmark.extra_info["memory over one plain pass"] = ours.peak() / once.peak()


@pytest.mark.benchmark(group="ws_dan inference")
@pytest.mark.parametrize("variant", ["two views", "one view"])
def test_inference(benchmark: BenchmarkFixture, variant: str):
    """Against the plain backbone's test time."""
    method = WSDAN(TimmBackbones("inception_v3", SIZE), CLASSES, two_views=variant == "two views").to(DEVICE).eval()
    plain = Plain(TimmBackbones("inception_v3", SIZE), CLASSES, tap=INCEPTION_FEATURES).to(DEVICE).eval()
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE)
    with torch.inference_mode():
        benchmark.pedantic(method, args=(images,), rounds=3, warmup_rounds=1)
        if benchmark.enabled:
            benchmark.extra_info["views"] = method.views
            benchmark.extra_info["time over plain"] = ratio(lambda: method(images), lambda: plain(images))
