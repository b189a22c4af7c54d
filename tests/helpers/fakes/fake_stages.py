"""A method that uses what plain methods do not: four steps a batch, through two loss functions, and read-outs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import Tensor
from torch.nn import functional as F

import methods
from methods.plain.model import Plain

STAGES = 3


class Stages(Plain):
    """Takes a step on each of three coarser versions of the images, as PMG does, and one on the images as they are."""

    loss_functions = ("stage_losses", "whole_losses")
    readout_views = {"mirrored": 1, "both": 2}

    def stage_losses(self, images: Tensor, labels: Tensor, stage: int) -> dict[str, Tensor]:
        """Cross-entropy of the means over patches of `2 ** stage` pixels, weighted less the coarser they are."""
        coarse = F.interpolate(F.avg_pool2d(images, 2**stage), size=images.shape[2:])
        return {f"stage {stage}": F.cross_entropy(self(coarse), labels) / (1 + stage)}

    def whole_losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the images."""
        return {"whole": F.cross_entropy(self(images), labels)}

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        mirrored = self(images.flip(3))
        return {"mirrored": mirrored, "both": (self(images) + mirrored) / 2}

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        for stage in range(STAGES):
            yield self.stage_losses(images, labels, stage)
        yield self.whole_losses(images, labels)


def stand_in_for_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every Run of plain one of `Stages`."""
    monkeypatch.setattr(methods, "load", lambda name: Stages)
