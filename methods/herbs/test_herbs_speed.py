"""Speed of HERBS' score of tokens against the authors' loop. Its step is measured with those of all methods.

On a CUDA GPU with the finest level of Swin-L at 384 px, on a CPU at a smaller size.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from methods.herbs.model import probability_of_prediction
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, TOKENS, CLASSES = (8, 2304, 200) if CUDA else (4, 576, 50)


def image_by_image(logits: Tensor) -> Tensor:
    """Reads each image's class on the host, and takes its column."""
    predicted = logits.mean(dim=1).softmax(dim=1)
    columns = [one.softmax(dim=1)[:, int(two.argmax())] for one, two in zip(logits, predicted, strict=True)]
    return torch.stack(columns)


@pytest.mark.benchmark(group="herbs score of tokens")
def test_score(benchmark: BenchmarkFixture) -> None:
    logits = torch.randn(BATCH, TOKENS, CLASSES, device=DEVICE)
    torch.testing.assert_close(probability_of_prediction(logits), image_by_image(logits))
    ways = {"ours": probability_of_prediction, "image by image": image_by_image}
    compare(benchmark, {name: lambda way=way: way(logits) for name, way in ways.items()})
