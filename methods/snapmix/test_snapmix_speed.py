"""Speed of SnapMix's pasting and weighing against released code's way, which has the boxes on the host and a loop."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from methods.snapmix.boxes import Box, paste, semantic_share
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH, SIZE = (16 if CUDA else 4), 448
TARGET, SOURCE = (40, 60, 300, 360), (0, 100, 400, 448)


def on_device(bounds: tuple[int, int, int, int]) -> Box:
    return Box(*(torch.tensor(bound, device=DEVICE) for bound in bounds))


@pytest.mark.benchmark(group="snapmix pasting and weighing")
def test_paste_and_weigh(benchmark: BenchmarkFixture) -> None:
    images, others = (torch.randn(BATCH, 3, SIZE, SIZE, device=DEVICE) for _ in range(2))
    maps = torch.randn(BATCH, 14, 14, device=DEVICE)
    target, source = on_device(TARGET), on_device(SOURCE)

    def ours() -> tuple[Tensor, Tensor]:
        return paste(images, others, target, source), semantic_share(maps, target, (SIZE, SIZE))

    def slow() -> tuple[Tensor, Tensor]:
        """Boxes as numbers of the host, one image after the other where released code does so."""
        top, left, bottom, right = TARGET
        first, start, last, end = SOURCE
        cut = others[:, :, first:last, start:end]
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = F.interpolate(
            cut, size=(bottom - top, right - left), mode="bilinear", align_corners=True
        )
        resized = F.interpolate(maps[:, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
        shares = []
        for one in resized:
            mass = one - one.min()
            shares.append((mass / mass.sum())[top:bottom, left:right].sum())
        return mixed, torch.stack(shares)

    for left_, right_ in zip(ours(), slow(), strict=True):
        torch.testing.assert_close(left_, right_, rtol=1e-3, atol=2e-3)
    compare(benchmark, {"ours": ours, "slow": slow})
