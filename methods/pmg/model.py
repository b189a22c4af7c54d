"""PMG: classifiers on the last stages, trained one after the other on ever coarser jigsaw puzzles of the same batch.

Du, Chang, Bhunia, Xie, Ma, Song, Guo, "Fine-Grained Visual Classification via Progressive Multi-Granularity Training of
Jigsaw Patches", ECCV 2020, arXiv 2003.03836. The numbers are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Sampling, Tap
from methods.ops.jigsaw import permute_blocks, random_order
from methods.ops.precision import at_least_float32


class PMG(Method):
    """A feature vector and a classifier for each of the last S stages, and a classifier for all vectors together.

    A batch makes S + 1 optimiser steps. Step l cuts the images into n_l × n_l blocks, permutes them, and trains the
    classifier of stage l, the earliest stage first, on the finest blocks: it can't use what is larger than a block. The
    last step trains the classifier of all stages on the whole images. The prediction is the sum of all logits.

    Every step computes all classifiers, as in the authors' code: batch norm of all layers sees the puzzles too.

    Options:
        taps: the S stages, the earliest first; the last one is the network's last map, of stride 32 in ResNets.
        blocks: n_l, blocks a side of the puzzle of each stage; 1 leaves the images whole.
        features: channels of a stage's vector; None: half of the last stage's channels, 1024 for ResNet-50.
        hidden: channels within the blocks and the classifiers; None: a quarter of them, 512 for ResNet-50.
        concatenated_weight: weight of the last step's loss; those of the stages have 1.
        cyclic: permutations are single cycles, where no block stays in its place, as the authors' code makes them
            without saying so; otherwise all are equally likely.
        per_image: each image has a permutation of its own instead of one for the batch.
        one_step: the sum of all losses is minimised in one step (an ablation; it is not PMG).
        idle_step: layers that a step does not train take part in it with a zero gradient, so that momentum and weight
            decay go on moving them, as with the `zero_grad` of the authors' PyTorch; otherwise they rest.
    """

    soft_labels = True
    sampling = Sampling(drop_last=True)
    readout_views = MappingProxyType({"concatenated": 1})

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        taps: Sequence[Tap] = (8, 16, "final"),
        blocks: Sequence[int] = (8, 4, 2),
        features: int | None = None,
        hidden: int | None = None,
        concatenated_weight: float = 2.0,
        cyclic: bool = False,
        per_image: bool = False,
        one_step: bool = False,
        idle_step: bool = True,
    ) -> None:
        super().__init__()
        if not taps or len(blocks) != len(taps) or min(blocks) < 1:
            raise ValueError(
                f"taps are {list(taps)} and blocks {list(blocks)}; each tap needs a number of blocks, 1 or more"
            )
        self.backbone = backbones.features(list(taps))
        widths = self.backbone.channels
        features, hidden = features or max(widths[-1] // 2, 1), hidden or max(widths[-1] // 4, 1)
        self.reduce = nn.ModuleList(reduction(width, hidden, features) for width in widths)
        self.classifiers = nn.ModuleList(classifier(features, hidden, num_classes) for _ in widths)
        self.all_stages = classifier(features * len(widths), hidden, num_classes)
        self.blocks, self.cyclic, self.per_image = tuple(blocks), cyclic, per_image
        self.concatenated_weight, self.one_step, self.idle_step = concatenated_weight, one_step, idle_step

    def maps(self, images: Tensor) -> list[Tensor]:
        """The map `(B, features, h, w)` of each stage, whose maximum over positions is its vector."""
        return [reduce(one) for reduce, one in zip(self.reduce, self.backbone(images), strict=True)]

    def predictions(self, images: Tensor) -> list[Tensor]:
        """Logits `(B, K)` of each stage's classifier, and last those of the classifier of all stages."""
        vectors = [one.amax(dim=(2, 3)) for one in self.maps(images)]
        stages = [classify(one) for classify, one in zip(self.classifiers, vectors, strict=True)]
        return [at_least_float32(one) for one in (*stages, self.all_stages(torch.cat(vectors, dim=1)))]

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack(self.predictions(images)).sum(dim=0)

    def losses(self, images: Tensor, labels: Tensor, stage: int = -1) -> dict[str, Tensor]:
        """Cross-entropy of one classifier: of a stage, counted from 0, or, with -1, of all stages."""
        loss = F.cross_entropy(self.predictions(images)[stage], labels)
        if stage == -1:
            return {"concatenated": self.concatenated_weight * loss}
        return {f"stage {stage + 1}": loss}

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """One step for each stage on a puzzle, and one on the whole images."""
        together: dict[str, Tensor] = {}
        for stage, n in [*enumerate(self.blocks), (-1, 1)]:
            if self.idle_step and not self.one_step:
                self._zero_gradients()
            losses = self.losses(self.puzzle(images, n), labels, stage)
            if self.one_step:
                together |= losses
            else:
                yield losses
        if together:
            yield together

    @torch.no_grad()
    def puzzle(self, images: Tensor, n: int) -> Tensor:
        """The images cut into n × n blocks, and these permuted: the jigsaw puzzle generator P(images, n)."""
        if n == 1:
            return images
        order = random_order(n, images.device, len(images) if self.per_image else None, self.cyclic)
        return permute_blocks(images, order, n)

    def _zero_gradients(self) -> None:
        """Gives the layers that this step's loss does not reach a gradient, without touching one that is there."""
        for parameter in self.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """The classifier of all stages alone."""
        return {"concatenated": self.predictions(images)[-1]}

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """The classifier of each stage alone."""
        return {f"stage {number}": logits for number, logits in enumerate(self.predictions(images)[:-1], 1)}

    def attention(self, images: Tensor) -> Tensor:
        """Mean of each stage's map before pooling, at the size of the earliest one: `(B, S, h, w)`."""
        maps = [one.mean(dim=1, keepdim=True) for one in self.maps(images)]
        size = maps[0].shape[2:]
        return torch.cat([F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps], dim=1)


def reduction(channels: int, hidden: int, features: int) -> nn.Sequential:
    """The convolutions on a stage: 1 × 1 and 3 × 3, each with batch norm and ReLU."""

    def block(inputs: int, outputs: int, size: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs, momentum=0.01), nn.ReLU()]

    return nn.Sequential(*block(channels, hidden, 1), *block(hidden, features, 3))


def classifier(features: int, hidden: int, classes: int) -> nn.Sequential:
    """Two linear layers, each after a batch norm: vectors `(B, features)` -> logits `(B, classes)`."""
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ELU(),
        nn.Linear(hidden, classes),
    )
