"""Speed of PIM's selector against the authors' loop over images. Its step is measured with those of all methods.

On a CUDA GPU with the finest level of Swin-L at 384 px, on a CPU at a smaller size.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.ops.tokens.combiner import confidence, gathered, split, suppression_loss
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, TOKENS, KEPT, FEATURES, CLASSES = (16, 2304, 2048, 1536, 200) if CUDA else (4, 576, 512, 128, 50)


def ours(tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    found = split(logits, confidence(logits), KEPT)
    return gathered(tokens, found.kept), suppression_loss(found)


def image_by_image(tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Sorts the tokens of one image after the other, and indexes what is kept and what is dropped."""
    kept, dropped = [], []
    for own, scores in zip(tokens, logits, strict=True):
        ranks = scores.softmax(dim=1).amax(dim=1).sort(descending=True).indices
        kept.append(own[ranks[:KEPT]])
        dropped.append(scores[ranks[KEPT:]])
    left = torch.stack(dropped).tanh()
    return torch.stack(kept), F.mse_loss(left, torch.full_like(left, -1.0))


@pytest.mark.benchmark(group="pim selection and suppression, forward and backward")
def test_selection(benchmark: BenchmarkFixture) -> None:
    tokens = torch.randn(BATCH, TOKENS, FEATURES, device=DEVICE, requires_grad=True)
    logits = torch.randn(BATCH, TOKENS, CLASSES, device=DEVICE, requires_grad=True)
    for found, expected in zip(ours(tokens, logits), image_by_image(tokens, logits), strict=True):
        torch.testing.assert_close(found, expected)
    forward = {
        name: lambda way=way: sum(one.square().sum() for one in way(tokens, logits))
        for name, way in {"ours": ours, "image by image": image_by_image}.items()
    }
    compare(benchmark, {name: lambda way=way: way().backward() for name, way in forward.items()}, forward)
