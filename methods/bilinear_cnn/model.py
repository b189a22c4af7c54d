"""Bilinear CNN: pool the outer product of two feature maps.

Lin, RoyChowdhury, Maji, "Bilinear CNN Models for Fine-grained Visual Recognition", ICCV 2015 (arXiv 1504.07889).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.bilinear_cnn.svm import one_vs_all_svm
from methods.interface import BackboneSource, Method, Phase, Tap
from methods.ops.precision import at_least_float32
from methods.ops.second_order.outer_products import maximum_over_positions, sum_over_positions
from methods.ops.second_order.roots import check_root, signed_sqrt
from methods.ops.stages import phases_of


def bilinear_pool(a: Tensor, b: Tensor) -> Tensor:
    """Mean over positions of the outer product f_A(l)^T f_B(l) (Section 3, eq. 1 and 2).

    `(B, C, h, w)` and `(B, D, h, w)` -> `(B, C·D)`, at least in float32: the sum runs over 784 positions at 448 px.
    The paper takes the sum instead of the mean; the L2 normalisation that follows makes them equal.
    """
    return sum_over_positions(a.flatten(2), b.flatten(2)).div_(a.shape[2:].numel()).flatten(1)


def maximum_pool(a: Tensor, b: Tensor) -> Tensor:
    """Maximum over positions of each entry of the outer product, in place of its mean; shapes as in `bilinear_pool`."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = at_least_float32(a).flatten(2), at_least_float32(b).flatten(2)
        return maximum_over_positions(a, b).flatten(1)


class BilinearCNN(Method):
    """B = (f_A, f_B, P, C) (Section 3): two feature maps, bilinear pooling, signed square root, L2, linear classifier.

    Options:
        tap: where f_A ends; stride 16 is relu5_3 in VGG-16.
        second: timm name of another network for f_B ([D, M] of the paper); None shares one network ([D, D]).
        second_tap: where f_B ends; its map is resized to f_A's if their sizes differ.
        maximum: pool the outer products by their maximum over positions instead of their mean.
        sqrt, l2: the two normalisations of Section 3.1; the paper's ablation switches them off.
        root, epsilon: how the slope of the square root at 0 is kept finite, else fine-tuning collapses; see
            `methods/ops/second_order/roots.py`.
        stages: which of the two steps of training are done, in order.
        svm: `finish` replaces the classifier by one-vs-all linear SVMs (Section 4), and scores are averaged over an
            image and its mirror image.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = 16,
        second: str | None = None,
        second_tap: Tap = 16,
        maximum: bool = False,
        sqrt: bool = True,
        l2: bool = True,
        root: str = "bounded",
        epsilon: float = 1e-5,
        stages: Sequence[str] = ("classifier", "all"),
        svm: bool = False,
    ) -> None:
        super().__init__()
        check_root(root, epsilon)
        self.backbone = backbones.features([tap])
        self.second = backbones.features([second_tap], second) if second else None
        self.pool = maximum_pool if maximum else bilinear_pool
        self.sqrt, self.l2, self.root, self.epsilon = sqrt, l2, root, epsilon
        self.stages, self.svm = phases_of(stages), svm
        self.views = 2 if svm else 1
        channels = self.backbone.channels[0]
        self.classifier = nn.Linear(channels * (self.second or self.backbone).channels[0], num_classes)
        nn.init.kaiming_normal_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def descriptor(self, images: Tensor) -> Tensor:
        """The normalised bilinear vector z (Section 3.1), `(B, C·D)`, at least in float32."""
        (a,) = self.backbone(images)
        b = a
        if self.second is not None:
            (b,) = self.second(images)
            if b.shape[2:] != a.shape[2:]:
                b = F.interpolate(at_least_float32(b), size=a.shape[2:], mode="bilinear", align_corners=False)
        x = self.pool(a, b)
        y = signed_sqrt(x, self.root, self.epsilon) if self.sqrt else x
        return F.normalize(y, dim=1, eps=1e-10) if self.l2 else y

    def forward(self, images: Tensor) -> Tensor:
        z = self.descriptor(images)
        if self.svm:  # the classifier is linear: the mean of two scores is the score of the mean
            z = (z + self.descriptor(images.flip(3))) / 2
        return self.classifier(z)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(self.classifier(self.descriptor(images)), labels)}

    def phases(self) -> tuple[Phase, ...]:
        return self.stages

    @torch.no_grad()
    def finish(self, batches: Iterable[tuple[Tensor, Tensor]]) -> bool:
        """Replaces the softmax classifier by SVMs fitted on un-augmented training batches (Section 4).

        Every image counts twice, as it is and mirrored. Descriptors of length 1 are stored in half precision on the
        host: 6.3 GB for CUB, twice that for a moment. Call it in evaluation mode.
        """
        if not self.svm:
            return False
        dtype = torch.half if self.l2 else torch.float
        descriptors, labels = [], []
        for images, batch_labels in batches:
            for view in (images, images.flip(3)):
                descriptors.append(self.descriptor(view).to(dtype).cpu())
                labels.append(batch_labels.cpu())
        device = self.classifier.weight.device
        with torch.autocast(device.type, enabled=False):
            weight, bias = one_vs_all_svm(
                torch.cat(descriptors), torch.cat(labels), self.classifier.out_features, device
            )
        self.classifier.weight.copy_(weight)
        self.classifier.bias.copy_(bias)
        return True
