"""Speed and memory of TransFG: its rollout against the product of whole maps, and its step against the plain ViT's.

On a CUDA GPU at the paper's size (ViT-B/16, 448 px, overlapping patches), on a CPU at a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.interface import Method
from methods.ops.tokens.selection import class_rollout
from methods.transfg.model import TransFG
from tests.helpers.speed import CUDA, DEVICE, compare, kept, random_batch

BATCH, BLOCKS, HEADS, TOKENS, WIDTH = (4, 11, 12, 1370, 64) if CUDA else (2, 11, 12, 197, 32)
PIXELS, STRIDE, SMALL = (448, 12, {}) if CUDA else (224, 16, {"embed_dim": 192, "depth": 6, "num_heads": 6})


def of_whole_maps(queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
    """As released: every map in full, multiplied from the first block to the last; then one row is used."""
    product: Tensor | None = None
    for query, key in zip(queries, keys, strict=True):
        attention = (query @ key.mT).softmax(dim=-1)
        product = attention if product is None else attention @ product
    assert product is not None
    return product[:, :, 0]


@pytest.mark.benchmark(group="transfg rollout")
def test_rollout(benchmark: BenchmarkFixture):
    made = [torch.randn(BATCH, HEADS, TOKENS, WIDTH, device=DEVICE) / WIDTH**0.25 for _ in range(2 * BLOCKS)]
    queries, keys = made[:BLOCKS], made[BLOCKS:]
    torch.testing.assert_close(class_rollout(queries, keys), of_whole_maps(queries, keys), rtol=1e-3, atol=1e-6)
    ways = {"ours": class_rollout, "whole maps": of_whole_maps}
    compare(benchmark, {name: lambda way=way: way(queries, keys) for name, way in ways.items()})


def vit(selection: str, margin: float | None) -> Method:
    options = {**SMALL, **({"patch_stride": STRIDE} if STRIDE != 16 else {})}
    source = TimmBackbones("vit_base_patch16_224", PIXELS, options=options)
    return TransFG(source, 200, selection=selection, margin=margin).to(DEVICE).train()


@pytest.mark.benchmark(group="transfg step, forward and backward")
def test_step_against_the_plain_vit(benchmark: BenchmarkFixture):
    """The selection keeps nothing for the backward pass but tokens, and takes most of them from the last block."""
    networks = {"ours": vit("rollout", 0.4), "plain": vit("all", None)}
    images, labels = (one.to(DEVICE) for one in random_batch(BATCH, PIXELS, 200))

    def loss(name: str) -> Tensor:
        return torch.stack(list(networks[name].losses(images, labels).values())).sum()

    forward = {name: lambda name=name: loss(name) for name in networks}
    assert kept(forward["ours"]) < kept(forward["plain"])
    compare(benchmark, {name: lambda name=name: loss(name).backward() for name in networks}, forward, rounds=3)
