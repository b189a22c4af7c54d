"""Bilinear CNN: pool the outer product of two feature maps.

Lin, RoyChowdhury, Maji, "Bilinear CNN Models for Fine-grained Visual Recognition", ICCV 2015 (arXiv 1504.07889).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Phase, Tap


def bilinear_pool(a: Tensor, b: Tensor) -> Tensor:
    """Mean over positions of the outer product f_A(l)^T f_B(l) (Section 3).

    `(B, C, h, w)` and `(B, D, h, w)` -> `(B, C·D)` in float32: the sum runs over up to 784 positions.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float().flatten(2), b.float().flatten(2)
        return (a @ b.transpose(1, 2) / a.shape[2]).flatten(1)


def signed_sqrt(x: Tensor, epsilon: float) -> Tensor:
    """sign(x)·sqrt|x| (Section 3.1) with a bounded slope: sqrt(|x| + epsilon) - sqrt(epsilon) in place of sqrt|x|.

    The paper's form has an infinite slope at 0, on which fine-tuning collapses; this one has 1 / (2·sqrt(epsilon)).
    """
    return x.sign() * ((x.abs() + epsilon).sqrt() - epsilon**0.5)


class BilinearCNN(Method):
    """B = (f_A, f_B, P, C): two feature functions, bilinear pooling, signed square root, L2, linear classifier.

    Options:
        tap: where f_A ends; stride 16 is relu5_3 in VGG-16.
        second: timm name of another network for f_B ([D, M] of the paper); None shares one network ([D, D]).
        second_tap: where f_B ends; its map is resized to f_A's if their sizes differ.
        sqrt, l2: the two normalisations of Section 3.1; the paper's ablation switches them off.
        epsilon: keeps the slope of the square root finite. 1e-5 is what replications that reach 84 % use.
        two_phases: train the classifier alone first, then everything (Section 3.2), or everything at once.
    """

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = 16,
        second: str | None = None,
        second_tap: Tap = 16,
        sqrt: bool = True,
        l2: bool = True,
        epsilon: float = 1e-5,
        two_phases: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbones.features([tap])
        self.second = backbones.features([second_tap], second) if second else None
        self.sqrt, self.l2, self.epsilon, self.two_phases = sqrt, l2, epsilon, two_phases
        channels = self.backbone.channels[0]
        self.classifier = nn.Linear(channels * (self.second or self.backbone).channels[0], num_classes)
        nn.init.kaiming_normal_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def descriptor(self, images: Tensor) -> Tensor:
        """The normalised bilinear vector z, float32 `(B, C·D)`."""
        (a,) = self.backbone(images)
        b = a
        if self.second is not None:
            (b,) = self.second(images)
            if b.shape[2:] != a.shape[2:]:
                b = F.interpolate(b, size=a.shape[2:], mode="bilinear", align_corners=False)
        x = bilinear_pool(a, b)
        if self.sqrt:
            x = signed_sqrt(x, self.epsilon)
        return F.normalize(x, dim=1, eps=1e-10) if self.l2 else x

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.descriptor(images))

    def phases(self) -> tuple[Phase, ...]:
        if not self.two_phases:
            return (Phase("all"),)
        return (Phase("classifier", trains=("head",), share=0.3), Phase("all", share=0.7))
