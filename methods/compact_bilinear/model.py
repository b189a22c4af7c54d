"""Compact Bilinear Pooling: bilinear features of a few thousand dimensions.

Gao, Beijbom, Zhang, Darrell, "Compact Bilinear Pooling", CVPR 2016 (arXiv 1511.06062).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from methods.compact_bilinear.projections import PROJECTIONS
from methods.interface import BackboneSource, Method, Phase, Tap
from methods.ops.options import check_word
from methods.ops.second_order.roots import check_root, signed_sqrt
from methods.ops.stages import phases_of


class CompactBilinear(Method):
    """A random projection of the bilinear descriptor, signed square root, L2, linear classifier (Section 3).

    Options:
        tap: whose features are pooled; stride 16 is relu5_3 in VGG-16.
        projection: `tensor_sketch` (Algorithm 2) or `random_maclaurin` (Algorithm 1).
        dimension: d of the descriptor.
        projection_seed: what the projection is drawn from; it is the same in every Run.
        learn: the projection's signs, or its weights, learn with the classifier.
        root, epsilon: how the slope of the square root at 0 is kept finite; see `methods/ops/second_order/roots.py`.
        stages: which of the two steps of training are done, in order: the classifier alone, then everything.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = 16,
        projection: str = "tensor_sketch",
        dimension: int = 8192,
        projection_seed: int = 1,
        learn: bool = False,
        root: str = "exact",
        epsilon: float = 9e-4,
        stages: Sequence[str] = ("classifier", "all"),
    ) -> None:
        super().__init__()
        check_word("projection", projection, PROJECTIONS)
        check_root(root, epsilon)
        self.stages = phases_of(stages)
        self.root, self.epsilon = root, epsilon
        self.backbone = backbones.features([tap])
        self.project = PROJECTIONS[projection](self.backbone.channels[0], dimension, projection_seed, learn)
        self.classifier = nn.Linear(dimension, num_classes)
        nn.init.normal_(self.classifier.weight, std=1e-4)
        nn.init.zeros_(self.classifier.bias)

    def descriptor(self, images: Tensor) -> Tensor:
        """The normalised compact bilinear vector, `(B, d)`, at least in float32."""
        (features,) = self.backbone(images)
        return F.normalize(signed_sqrt(self.project(features), self.root, self.epsilon), dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.descriptor(images))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(self(images), labels)}

    def phases(self) -> tuple[Phase, ...]:
        return self.stages
