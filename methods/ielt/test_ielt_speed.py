"""Speed of IELT's voting against released code's loops over images. Its step is measured with those of all methods.

On a CUDA GPU at the paper's size (ViT-B/16, 448 px, 784 patches, 32 images), on a CPU with 4 images at 224 px.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.ielt import allocation, voting
from methods.ops.tokens.selection import taken
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, SIDE = (32, 28) if CUDA else (4, 14)
HEADS, DEPTH, WIDTH, VOTES = 12, 64, 768, 24
NUMBERS = [16, 14, 12, 10, 8, 6, 8, 10, 12, 14, 16]


def image_by_image(queries: Tensor, keys: Tensor, tokens: Tensor) -> Tensor:
    """The whole attention of each layer; votes counted, and tokens taken, one image after the other."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], device=DEVICE)[None, None]
    sent: list[list[Tensor]] = [[] for _ in range(BATCH)]
    for number in NUMBERS:
        attention = (queries @ keys.mT).softmax(dim=3)
        chosen = attention[:, :, 0, 1:].topk(VOTES, dim=2).indices.flatten(1)
        counts = torch.stack([torch.bincount(one, minlength=SIDE * SIDE) for one in chosen]).float()
        counts = F.conv2d(counts.view(-1, 1, SIDE, SIDE), kernel, padding=1).flatten(1)
        order = counts.sort(dim=1, descending=True, stable=True).indices + 1
        for image in range(BATCH):
            sent[image].extend(tokens[image, order[image, :number]])
    return torch.stack([torch.stack(one) for one in sent])


def ours(queries: Tensor, keys: Tensor, tokens: Tensor, shares: Tensor) -> Tensor:
    places = allocation.places(shares, sum(NUMBERS))
    found = torch.zeros_like(tokens[:, :1])
    for number in range(len(NUMBERS)):
        counts = voting.count_votes(voting.class_scores(queries, keys, prefix=1), VOTES)
        chosen = voting.ranking(voting.smoothed(counts, (SIDE, SIDE)))[:, places.rank]
        found = torch.where((places.layer == number)[:, None], taken(tokens, 1 + chosen), found)
    return found


@pytest.mark.benchmark(group="ielt voting in 11 layers")
def test_voting(benchmark: BenchmarkFixture) -> None:
    """One layer's queries, keys and tokens serve as those of all, so that they fit into memory."""
    queries, keys = (torch.randn(BATCH, HEADS, 1 + SIDE * SIDE, DEPTH, device=DEVICE) / 8 for _ in range(2))
    tokens, shares = (
        torch.randn(BATCH, 1 + SIDE * SIDE, WIDTH, device=DEVICE),
        allocation.starting_shares(11).to(DEVICE),
    )
    ways = {
        "ours": lambda: ours(queries, keys, tokens, shares),
        "image by image": lambda: image_by_image(queries, keys, tokens),
    }
    assert torch.equal(ways["ours"](), ways["image by image"]())
    compare(benchmark, ways)
