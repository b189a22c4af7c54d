"""What SEF costs: the grouping loss without the C × C matrix, and a whole step against the plain backbone's.

On a CUDA GPU the sizes are those of the paper (ResNet-50, 448 px, batch 32), on a CPU small ones. `kept` counts the
bytes that autograd keeps for the backward pass, the same on both devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from benchmarks.speed.compare_with_plain import note_others, step_against_plain
from benchmarks.speed.stopwatch import CUDA, DEVICE, finish, kept, random_batch, seconds
from methods.backbones import TimmBackbones
from methods.plain.model import Plain
from methods.sef import losses
from methods.sef.model import SEF

CLASSES = 200
GROUPS = 4

MAPS = {  # (B, C, h, w)
    "resnet50_448px": (32 if CUDA else 1, 2048, 14, 14),
    "resnet18_448px": (32 if CUDA else 2, 512, 14, 14),
    "channels_below_positions": (32 if CUDA else 2, 320, 28, 28),
}
OTHER_FORMS = [("union", "resnet50_448px"), ("frobenius", "resnet50_448px")]


def slow(features: Tensor, sizes: Sequence[int]) -> Tensor:
    """The formula, one pair of groups after the other; images and channels still at once, or it would take minutes."""
    parts = losses.normalised_channels(features).split(list(sizes), dim=1)
    squares = [[(a @ b.mT).square().mean() for b in parts] for a in parts]
    within = [1 - squares[m][m] for m in range(len(sizes))]
    between = [squares[m][n] for n in range(len(sizes)) for m in range(n)]
    return 0.5 * (torch.stack(within).mean() + torch.stack(between).mean())


def released(features: Tensor, sizes: Sequence[int]) -> Tensor:
    """The way of the authors' code: all C × C cosines of an image, squared, and blocks cut out of them."""
    flat = features.flatten(2)
    unit = flat / (flat.norm(dim=2, keepdim=True) + torch.finfo(torch.float32).eps)
    squares = (unit @ unit.mT).pow(2)
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    within = sum((1 - squares[:, a:b, a:b]).mean() for a, b in pairwise(ends))
    between = sum(squares[:, a:b, :a].mean() for a, b in pairwise(ends) if a)
    return 0.5 * (within / len(sizes) + between / (len(sizes) * (len(sizes) - 1) / 2))


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
    ways = {"ours": ours(form), "slow": slow, "released": released}

    def run(name: str) -> None:
        features.grad = None
        ways[name](features, sizes).backward()
        finish()

    if form != "frobenius":
        reference = {"union": released, "pairs": slow}[form]
        with torch.no_grad():
            torch.testing.assert_close(ways["ours"](features, sizes), reference(features, sizes), rtol=1e-4, atol=1e-5)
    held = {name: kept(lambda way=way: way(features, sizes)) for name, way in ways.items()}
    if shape[1] == 2048:
        assert held["ours"] < held["released"] / 4
    benchmark.pedantic(run, args=("ours",), rounds=3, warmup_rounds=1)
    if not benchmark.enabled:
        return
    note_others(benchmark, seconds({name: lambda name=name: run(name) for name in ways}, rounds=3), held)


@pytest.mark.benchmark(group="sef local heads, forward and backward")
def test_local_heads(benchmark):
    shape = MAPS["resnet50_448px"]
    method = SEF(TimmBackbones("resnet50", 32), CLASSES).to(DEVICE)
    features = torch.rand(shape, device=DEVICE, requires_grad=True)

    def pooled_once() -> Tensor:
        return method.local_logits(features.mean(dim=(2, 3)))

    def pooled_per_group() -> Tensor:  # as released code, and as the formula stands
        parts = features.split(method.sizes, dim=1)
        pooled = [nn.functional.adaptive_avg_pool2d(part, 1).flatten(1) for part in parts]
        return torch.stack([head(part) for head, part in zip(method.local_heads, pooled, strict=True)])

    def run(way: Callable[[], Tensor]) -> None:
        way().sum().backward()
        finish()

    torch.testing.assert_close(pooled_once(), pooled_per_group(), rtol=1e-4, atol=1e-4)
    benchmark.pedantic(run, args=(pooled_once,), rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        note_others(benchmark, seconds({"ours": lambda: run(pooled_once), "released": lambda: run(pooled_per_group)}))


@pytest.mark.benchmark(group="sef step")
@pytest.mark.parametrize(
    ("backbone", "image_size", "size"), [("resnet50", 448, 32)] if CUDA else [("resnet50", 64, 4), ("resnet18", 64, 8)]
)
@pytest.mark.parametrize("compiled", [False, True] if CUDA else [False])
def test_step_against_plain(benchmark, backbone, image_size, size, compiled):
    source = TimmBackbones(backbone, image_size)
    batch = random_batch(size, image_size, CLASSES)
    step_against_plain(benchmark, SEF(source, CLASSES, groups=GROUPS), Plain(source, CLASSES), batch, compiled)
