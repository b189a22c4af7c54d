"""HERBS: high-temperature refinement of a token pyramid's first path by its second, and background suppression.

Chou, Kao, Lin, "Fine-grained Visual Classification with High-temperature Refinement and Background Suppression", arXiv
2303.06442. The numbers are those of the authors' code, configs/config.yaml. It is built on PIM's modules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.options import check_positive, check_word
from methods.ops.precision import at_least_float32
from methods.ops.tokens.combiner import (
    GraphCombiner,
    Split,
    confidence,
    foreground,
    kept_counts,
    level_loss,
    log_mean_probability,
    selected,
    sum_of,
    suppression_loss,
)
from methods.ops.tokens.pyramid import BottomUp, TokenClassifier, TokenLevels, TopDown, as_maps

KEPT = (256 / 2304, 128 / 576, 64 / 144, 32 / 144)
"""256, 128, 64 and 32 of the tokens that Swin-L has at 384 px."""
TOKENS_OF_A_JOINT = 64
HALVINGS = 8
"""Times that the temperature halves in a training: every 10 of the authors' 80 epochs, and so 64 ends at 0.5."""
RANKINGS = ("predicted", "maximum")
REDUCTIONS = ("elements", "tokens")


class Prediction(NamedTuple):
    """What a pass over B images gives."""

    first: list[Tensor]
    """Logits `(B, N, K)` of each level's tokens after the top-down path."""
    second: list[Split]
    """The logits, scores and selection of each level's tokens after the bottom-up path."""
    combined: Tensor
    """The combiner's logits `(B, K)`."""


class HERBS(Method):
    """A top-down and then a bottom-up path over a pyramid of tokens, with classifiers of every token after both.

    Refinement: the first path's tokens learn the softened predictions of the second's, at a temperature that falls.
    Suppression: tokens of the second path with little probability of the class that their level predicts for the image
    are dropped, their logits pushed far below 0, and the others combined. The prediction is the combiner's; the authors
    report the best of 14 read-outs on the test images. See README.md.

    Options:
        taps: the levels, the finest first; None: what fits the network, as `TokenLevels` says.
        features: channels of both paths; None: those of the last level, 1536 for Swin-L.
        keep: share of its tokens that each level keeps for the combiner.
        ranking: tokens are kept by the probability of the class that their level predicts for the image (`predicted`),
            or of their own most likely class, as in PIM (`maximum`).
        learned: tokens of one level are brought to the number of another by a learned layer; otherwise between their
            places; None: learned for transformers. The authors have transformers only.
        temperature: T at the beginning; it halves eight times in a training.
        falling: whether it does; otherwise it stays.
        reduction: the divergence is divided by the number of all tokens' classes (`elements`: the authors' KLDivLoss
            with its default), or by the number of tokens (`tokens`: the mean divergence, K times as much).
        refinement_weight: weight of the divergence.
        level_weight: weight of the cross-entropy of each level's mean logits after the second path.
        dropped_weight: weight of the loss that pushes the logits of dropped tokens far below 0.
        combiner_weight: weight of the cross-entropy of the combiner.
    """

    soft_labels = True
    readout_views = MappingProxyType({"average": 1})

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        taps: Sequence[Tap] | None = None,
        features: int | None = None,
        keep: Sequence[float] = KEPT,
        ranking: str = "predicted",
        learned: bool | None = None,
        temperature: float = 64.0,
        falling: bool = True,
        reduction: str = "elements",
        refinement_weight: float = 1.375,
        level_weight: float = 0.3,
        dropped_weight: float = 5.0,
        combiner_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_word("ranking", ranking, RANKINGS)
        check_word("reduction", reduction, REDUCTIONS)
        check_positive("temperature", temperature)
        self.levels = TokenLevels(backbones, taps)
        channels, self.grids = self.levels.channels, self.levels.grids
        features = features or channels[-1]
        learned = self.levels.is_transformer if learned is None else learned
        self.counts = kept_counts(keep, self.grids)
        self.top_down = TopDown(channels, self.grids, features, learned, mix_equal=True)
        self.bottom_up = BottomUp(self.grids, features, learned)
        self.first_classifiers = nn.ModuleList(TokenClassifier(features, num_classes) for _ in self.grids)
        self.second_classifiers = nn.ModuleList(TokenClassifier(features, num_classes) for _ in self.grids)
        kept = sum(self.counts)
        self.combiner = GraphCombiner(kept, max(kept // TOKENS_OF_A_JOINT, 2), features, num_classes)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.first_temperature, self.falling, self.reduction = float(temperature), falling, reduction
        self.score = probability_of_prediction if ranking == "predicted" else confidence
        self.refinement_weight, self.level_weight = refinement_weight, level_weight
        self.dropped_weight, self.combiner_weight = dropped_weight, combiner_weight

    def predictions(self, images: Tensor) -> Prediction:
        """One pass over images `(B, 3, H, W)`."""
        fused = self.top_down(self.levels(images))
        tokens = self.bottom_up(fused)
        first = [at_least_float32(classify(one)) for classify, one in zip(self.first_classifiers, fused, strict=True)]
        second, kept = selected(tokens, self.second_classifiers, self.counts, self.score)
        return Prediction(first, second, at_least_float32(self.combiner(kept)))

    def forward(self, images: Tensor) -> Tensor:
        return self.predictions(images).combined

    def before_batch(self, epoch: int, over: float) -> None:
        """T halves after each eighth of the training."""
        if self.falling:
            self.temperature.fill_(self.first_temperature * 0.5 ** math.floor(HALVINGS * over))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Refinement, cross-entropies of levels and combiner, suppression; each summed over levels."""
        seen = self.predictions(images)
        pairs = zip(seen.first, seen.second, strict=True)
        return {
            "refinement": self.refinement_weight * sum_of(self.divergence(one, other.logits) for one, other in pairs),
            "levels": self.level_weight * sum_of(level_loss(one, labels) for one in seen.second),
            "dropped": self.dropped_weight * sum_of(suppression_loss(one) for one in seen.second),
            "combiner": self.combiner_weight * F.cross_entropy(seen.combined, labels),
        }

    def divergence(self, first: Tensor, second: Tensor) -> Tensor:
        """KL(p2 ‖ p1) of logits `(B, N, K)` at temperature T; the second path teaches, and learns nothing from it."""
        log_p1 = (first / self.temperature).log_softmax(dim=2)
        log_p2 = (second.detach() / self.temperature).log_softmax(dim=2)
        each = (log_p2.exp() * (log_p2 - log_p1)).sum(dim=2)
        return each.mean() / (first.shape[2] if self.reduction == "elements" else 1)

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """The mean of the probabilities of the second path's levels and of the combiner."""
        seen = self.predictions(images)
        return {"average": log_mean_probability([*(one.logits.mean(dim=1) for one in seen.second), seen.combined])}

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """The mean logits of each level after both paths, the finest first."""
        seen = self.predictions(images)
        first = {f"top-down {number}": logits.mean(dim=1) for number, logits in enumerate(seen.first, 1)}
        return first | {f"bottom-up {number}": one.logits.mean(dim=1) for number, one in enumerate(seen.second, 1)}

    def attention(self, images: Tensor) -> Tensor:
        """The scores of each level's tokens, `(B, L, h, w)` on the finest grid."""
        return as_maps([one.scores for one in self.predictions(images).second], self.grids)

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The foreground of each level: the tokens that it keeps; the others are dimmed."""
        pairs = zip(self.predictions(images).second, self.grids, strict=True)
        return {f"foreground of level {i}": foreground(images, one, grid) for i, (one, grid) in enumerate(pairs, 1)}


def probability_of_prediction(logits: Tensor) -> Tensor:
    """The probability `(B, N)` that each token gives the class that the mean of all tokens' logits predicts."""
    predicted = logits.mean(dim=1, keepdim=True).argmax(dim=2, keepdim=True)
    return torch.take_along_dim(logits.softmax(dim=2), predicted, dim=2).squeeze(2)
