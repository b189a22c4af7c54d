"""iSQRT-COV, also called Fast MPN-COV: covariance pooling with an iterative matrix square root.

Li, Xie, Wang, Gao, "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
Normalization", CVPR 2018 (arXiv 1712.01034).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.options import check_word
from methods.ops.second_order.covariance import SCALES, covariance, covariance_root, upper_triangle


class ISqrtCov(Method):
    """1 × 1 convolution, batch norm, ReLU; covariance; its square root; upper triangle; linear classifier (Figure 1).

    Options:
        tap: whose features are pooled. The authors' ResNets do not shrink the map in their last stage: see the recipe's
            `backbone_options`.
        channels: C after the 1 × 1 convolution; the descriptor has C (C + 1) / 2 entries.
        iterations: of Newton-Schulz; 0 leaves the covariance as it is.
        scale: what the matrix is divided by first, its `trace` or its `frobenius` norm.
        compensate: whether the root of the scale is multiplied back.
        flip: the prediction is the mean score of an image and its mirror image, as in the authors' final evaluation.
            The other way of predicting is a read-out.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = "final",
        channels: int = 256,
        iterations: int = 5,
        scale: str = "trace",
        compensate: bool = True,
        flip: bool = True,
    ) -> None:
        super().__init__()
        check_word("scale", scale, SCALES)
        if iterations < 0 or channels < 1:
            raise ValueError(f"iterations are {iterations} and channels {channels}; they must be 0 and 1, or more")
        self.iterations, self.scale, self.compensate, self.flip = iterations, scale, compensate, flip
        self.views = 2 if flip else 1
        self.readout_views = {"one_view": 1} if flip else {"flip": 2}
        self.backbone = backbones.features([tap])
        convolution = nn.Conv2d(self.backbone.channels[0], channels, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
        self.reduce = nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels * (channels + 1) // 2, num_classes)

    def descriptor(self, images: Tensor) -> Tensor:
        """The upper triangle of the covariance's square root, `(B, C (C + 1) / 2)`, at least in float32."""
        (features,) = self.backbone(images)
        reduced = self.reduce(features)
        if not self.iterations:
            return upper_triangle(covariance(reduced))
        return upper_triangle(covariance_root(reduced, self.iterations, self.scale, self.compensate))

    def scores(self, images: Tensor) -> Tensor:
        """Logits `(B, K)` of the images as they are."""
        return self.classifier(self.descriptor(images))

    def flipped_scores(self, images: Tensor) -> Tensor:
        """Mean logits `(B, K)` of the images and their mirror images."""
        return (self.scores(images) + self.scores(images.flip(3))) / 2

    def forward(self, images: Tensor) -> Tensor:
        return self.flipped_scores(images) if self.flip else self.scores(images)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(self.scores(images), labels)}

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        return {"one_view": self.scores(images)} if self.flip else {"flip": self.flipped_scores(images)}
