"""Speed of FFVT: mutual attention against the way by whole maps, and its step against the plain ViT's.

On a CUDA GPU at the paper's size (ViT-B/16, 448 px), on a CPU at a smaller one.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.backbones import TimmBackbones
from methods.ffvt.model import FFVT
from methods.ops.tokens.selection import mutual_attention
from methods.plain.model import Plain
from tests.helpers.speed import CUDA, DEVICE, compare, random_batch

BATCH, HEADS, TOKENS, WIDTH = (8, 12, 785, 64) if CUDA else (2, 12, 197, 32)
PIXELS, SMALL = (448, {}) if CUDA else (224, {"embed_dim": 192, "depth": 6, "num_heads": 6})


def by_whole_maps(query: Tensor, key: Tensor) -> Tensor:
    """As released: two softmaxes of all scores, of which a row and a column are used."""
    scores = query @ key.mT
    return scores.softmax(dim=-1)[:, :, 0].mean(dim=1) * scores.softmax(dim=-2)[:, :, :, 0].mean(dim=1)


@pytest.mark.benchmark(group="ffvt mutual attention of a block")
def test_mutual_attention(benchmark: BenchmarkFixture):
    query, key = (torch.randn(BATCH, HEADS, TOKENS, WIDTH, device=DEVICE) / WIDTH**0.25 for _ in range(2))
    torch.testing.assert_close(mutual_attention(query, key), by_whole_maps(query, key), rtol=1e-3, atol=1e-8)
    ways = {"ours": mutual_attention, "whole maps": by_whole_maps}
    compare(benchmark, {name: lambda way=way: way(query, key) for name, way in ways.items()})


@pytest.mark.benchmark(group="ffvt step, forward and backward")
def test_step_against_the_plain_vit(benchmark: BenchmarkFixture):
    source = TimmBackbones("vit_base_patch16_224", PIXELS, options=SMALL)
    networks = {"ours": FFVT(source, 200), "plain": Plain(source, 200)}
    for network in networks.values():
        network.to(DEVICE).train()
    images, labels = (one.to(DEVICE) for one in random_batch(BATCH, PIXELS, 200))
    forward = {name: lambda net=net: net.losses(images, labels)["cross_entropy"] for name, net in networks.items()}
    compare(benchmark, {name: lambda way=way: way().backward() for name, way in forward.items()}, forward, rounds=3)
