"""Speed of GLSim's choice and crop against released code's loop over images. Its step is measured with those of all.

On a CUDA GPU or a CPU, with 8 images of 224 px as in the paper.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.glsim.boxes import boxes_around
from methods.ops.attention.crops import crop
from tests.helpers.speed import DEVICE, compare

BATCH, SIZE, PATCH, TOP = 8, 224, 16, 8
SIDE = SIZE // PATCH


def image_by_image(images: Tensor, similarity: Tensor) -> Tensor:
    """Cuts out one box after the other, whose bounds the host has to know."""
    crops = []
    for image, chosen in zip(images, similarity.topk(TOP, dim=1).indices.tolist(), strict=True):
        bounds = []
        for places in ([one // SIDE for one in chosen], [one % SIDE for one in chosen]):
            start = min(places) * PATCH
            bounds.append(slice(start, max(max(places) * PATCH, start + PATCH)))
        box = image[None, :, bounds[0], bounds[1]]
        crops.append(F.interpolate(box, size=(SIZE, SIZE), mode="bilinear", align_corners=True))
    return torch.cat(crops)


@pytest.mark.benchmark(group="glsim choice and crop")
def test_choice_and_crop(benchmark: BenchmarkFixture) -> None:
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE)
    similarity = torch.rand(BATCH, SIDE * SIDE, device=DEVICE)
    ways = {
        "ours": lambda: crop(images, boxes_around(similarity.topk(TOP, dim=1).indices, (SIDE, SIDE), (SIZE, SIZE))),
        "image by image": lambda: image_by_image(images, similarity),
    }
    torch.testing.assert_close(ways["ours"](), ways["image by image"](), rtol=0, atol=1e-3)
    compare(benchmark, ways)
