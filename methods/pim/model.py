"""PIM: a plug-in that classifies every token of a feature pyramid, keeps the confident ones and combines them.

Chou, Lin, Kao, "A Novel Plug-in Module for Fine-Grained Visual Classification", arXiv 2202.03822. The numbers are those
of the authors' code, configs/CUB200_SwinT.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.precision import at_least_float32
from methods.ops.tokens.combiner import (
    GraphCombiner,
    Split,
    confidence,
    foreground,
    kept_counts,
    kept_loss,
    level_loss,
    log_mean_probability,
    selected,
    sum_of,
    suppression_loss,
)
from methods.ops.tokens.pyramid import TokenClassifier, TokenLevels, TopDown, as_maps

KEPT = (8 / 9, 8 / 9, 8 / 9, 2 / 9)
"""2048, 512, 128 and 32 of the 2304, 576, 144 and 144 tokens that Swin-L has at 384 px."""
TOKENS_OF_A_JOINT = 32


class PIM(Method):
    """A top-down pyramid of tokens with a classifier for each level, a selector, and a combiner of what it keeps.

    The prediction is the combiner's. The authors report the best of ten read-outs on the test images: of each level, of
    the combiner, and of the means of the 1 to 5 least confident ones of these. See README.md.

    Options:
        taps: the levels, the finest first; None: what fits the network, as `TokenLevels` says.
        features: channels of the pyramid; None: those of the last level, 1536 for Swin-L.
        keep: share of its tokens that each level keeps for the combiner.
        learned: tokens of one level are brought to the number of another by a learned layer; otherwise between their
            places; None: learned for transformers, as in the authors' code. Levels of as many tokens are just added.
        level_weight: weight of the cross-entropy of each level's mean logits.
        kept_weight: weight of the cross-entropy of each kept token; 0 in the authors' configuration.
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
        learned: bool | None = None,
        level_weight: float = 0.5,
        kept_weight: float = 0.0,
        dropped_weight: float = 5.0,
        combiner_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.levels = TokenLevels(backbones, taps)
        channels, self.grids = self.levels.channels, self.levels.grids
        features = features or channels[-1]
        self.counts = kept_counts(keep, self.grids)
        self.pyramid = TopDown(
            channels, self.grids, features, self.levels.is_transformer if learned is None else learned
        )
        self.classifiers = nn.ModuleList(TokenClassifier(features, num_classes) for _ in self.grids)
        kept = sum(self.counts)
        self.combiner = GraphCombiner(kept, max(kept // TOKENS_OF_A_JOINT, 2), features, num_classes)
        self.level_weight, self.kept_weight = level_weight, kept_weight
        self.dropped_weight, self.combiner_weight = dropped_weight, combiner_weight

    def predictions(self, images: Tensor) -> tuple[list[Split], Tensor]:
        """The logits, scores and selection of each level's tokens, and the combiner's logits `(B, K)`."""
        tokens = self.pyramid(self.levels(images))
        levels, kept = selected(tokens, self.classifiers, self.counts, confidence)
        return levels, at_least_float32(self.combiner(kept))

    def forward(self, images: Tensor) -> Tensor:
        return self.predictions(images)[1]

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropies of levels and combiner, and the suppression of dropped tokens; each summed over levels."""
        levels, combined = self.predictions(images)
        losses = {
            "levels": self.level_weight * sum_of(level_loss(one, labels) for one in levels),
            "dropped": self.dropped_weight * sum_of(suppression_loss(one) for one in levels),
            "combiner": self.combiner_weight * F.cross_entropy(combined, labels),
        }
        if self.kept_weight:
            losses["kept"] = self.kept_weight * sum_of(kept_loss(one, labels) for one in levels)
        return losses

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """The mean of the probabilities of all levels and of the combiner, "highest-5" of the authors' code."""
        levels, combined = self.predictions(images)
        return {"average": log_mean_probability([*(one.logits.mean(dim=1) for one in levels), combined])}

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """Each level's mean logits, the finest first."""
        levels, _ = self.predictions(images)
        return {f"level {number}": one.logits.mean(dim=1) for number, one in enumerate(levels, 1)}

    def attention(self, images: Tensor) -> Tensor:
        """How confident each level's tokens are, `(B, L, h, w)` on the finest grid."""
        return as_maps([one.scores for one in self.predictions(images)[0]], self.grids)

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The tokens that each level keeps; the others are dimmed."""
        levels, _ = self.predictions(images)
        pairs = zip(levels, self.grids, strict=True)
        return {f"kept by level {i}": foreground(images, one, grid) for i, (one, grid) in enumerate(pairs, 1)}
