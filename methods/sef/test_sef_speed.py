"""Speed and memory of SEF's grouping loss, without the C × C matrix, and of its local heads.

On a CUDA GPU the sizes are the paper's (ResNet-50, 448 px, batch 32), on a CPU the batch is smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from methods.backbones import TimmBackbones
from methods.sef import losses
from methods.sef.model import SEF
from methods.sef.test_sef_grouping import as_released
from tests.helpers.speed import CUDA, DEVICE, compare, kept

CLASSES = 200
GROUPS = 4

MAPS = {  # (B, C, h, w)
    "resnet50_448px": (32 if CUDA else 1, 2048, 14, 14),
    "resnet18_448px": (32 if CUDA else 2, 512, 14, 14),
    "channels_below_positions": (32 if CUDA else 2, 320, 28, 28),
}
OTHER_FORMS = [("union", "resnet50_448px"), ("frobenius", "resnet50_448px")]


def slow(features: Tensor, sizes: Sequence[int]) -> Tensor:
    """The formula, pair by pair of groups; images and channels at once, or it would take minutes."""
    parts = losses.normalised_channels(features).split(list(sizes), dim=1)
    squares = [[(a @ b.mT).square().mean() for b in parts] for a in parts]
    within = [1 - squares[m][m] for m in range(len(sizes))]
    between = [squares[m][n] for n in range(len(sizes)) for m in range(n)]
    return 0.5 * (torch.stack(within).mean() + torch.stack(between).mean())


def ours(form: losses.Form) -> Callable[[Tensor, Sequence[int]], Tensor]:
    def loss(features: Tensor, sizes: Sequence[int]) -> Tensor:
        return losses.LocalMaxGlobalMin(sizes, form).to(DEVICE)(features)

    return loss


@pytest.mark.benchmark(group="sef grouping loss, forward and backward")
@pytest.mark.parametrize(("form", "place"), [*(("pairs", place) for place in MAPS), *OTHER_FORMS])
def test_grouping_loss(benchmark, form, place):
    shape = MAPS[place]
    features = torch.rand(shape, device=DEVICE, requires_grad=True)
    sizes = losses.group_sizes(shape[1], GROUPS)
    ways = {"ours": ours(form), "slow": slow, "released": as_released}

    def run(name: str) -> None:
        features.grad = None
        ways[name](features, sizes).backward()

    if form != "frobenius":
        reference = {"union": as_released, "pairs": slow}[form]
        with torch.no_grad():
            torch.testing.assert_close(ways["ours"](features, sizes), reference(features, sizes), rtol=1e-4, atol=1e-5)
    forward = {name: lambda way=way: way(features, sizes) for name, way in ways.items()}
    if shape[1] == 2048:
        assert kept(forward["ours"]) < kept(forward["released"]) / 4
    compare(benchmark, {name: lambda name=name: run(name) for name in ways}, forward, rounds=3)


@pytest.mark.benchmark(group="sef local heads, forward and backward")
def test_local_heads(benchmark):
    shape = MAPS["resnet50_448px"]
    method = SEF(TimmBackbones("resnet50", 32), CLASSES).to(DEVICE)
    features = torch.rand(shape, device=DEVICE, requires_grad=True)

    def pooled_once() -> Tensor:
        return method.local_logits(features.mean(dim=(2, 3)))

    def pooled_per_group() -> Tensor:  # as in released code and in the formula
        parts = features.split(method.sizes, dim=1)
        pooled = [nn.functional.adaptive_avg_pool2d(part, 1).flatten(1) for part in parts]
        return torch.stack([head(part) for head, part in zip(method.local_heads, pooled, strict=True)])

    torch.testing.assert_close(pooled_once(), pooled_per_group(), rtol=1e-4, atol=1e-4)
    ways = {"ours": pooled_once, "released": pooled_per_group}
    compare(benchmark, {name: lambda way=way: way().sum().backward() for name, way in ways.items()})
