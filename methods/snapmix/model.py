"""SnapMix: a box of one image replaces a box of another, and labels are mixed by how much of each class that moved.

Huang, Wang, Tao, "SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data", AAAI 2021,
arXiv 2012.04846. The numbers are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.attention.class_activation import class_activation, predicted_class_map
from methods.ops.options import check_positive, check_share
from methods.ops.precision import at_least_float32
from methods.snapmix.boxes import draw_box, paste, semantic_share


class SnapMix(Method):
    """Cross-entropy on mixed images, ρ_a · CE(y_a) + ρ_b · CE(y_b); the two weights do not add up to 1.

    ρ_a is the share of image a's class activation map outside the box that is covered, ρ_b that of image b's inside the
    box that is pasted. Inference is that of the plain network, or, with a middle branch ("baseline+"), the sum of two
    classifiers' logits.

    Options:
        tap: where the map is taken that is classified and whose class activation is weighed.
        middle: tap of the middle branch: a 1x1 convolution with ReLU, global maximum, one linear layer. It does not
            reach the backbone: its input is detached. None: no such branch.
        probability: that a batch is mixed.
        beta: of Beta(beta, beta), from which both boxes' sizes are drawn; the area of a box is 1 - λ of the image.
        frozen_statistics: make the pass for the class activation maps in evaluation mode. In the authors' code batch
            norm normalises by the batch there too, and its running statistics follow mixed and unmixed images in turn.
        doubled: an image mixed with one of its own class counts twice, as in the authors' code.
        same_box: both boxes are the same, as in CutMix.
        area: the weights are shares of the image's area, as in CutMix.
    """

    loss_functions = ("losses", "class_maps")
    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = "final",
        middle: Tap | None = None,
        probability: float = 1.0,
        beta: float = 5.0,
        frozen_statistics: bool = False,
        doubled: bool = False,
        same_box: bool = False,
        area: bool = False,
    ) -> None:
        super().__init__()
        check_share("probability", probability)
        check_positive("beta", beta)
        self.backbone = backbones.features([tap] if middle is None else [tap, middle])
        self.head = nn.Linear(self.backbone.channels[0], num_classes)
        self.middle = None if middle is None else middle_branch(self.backbone.channels[1], num_classes)
        self.num_classes, self.probability, self.beta = num_classes, probability, beta
        self.frozen_statistics, self.doubled, self.same_box, self.area = frozen_statistics, doubled, same_box, area

    def look(self, images: Tensor) -> list[Tensor]:
        """Logits `(B, K)` of the last map and, if there is a branch, of the middle one."""
        features = self.backbone(images)
        last = self.head(features[0].mean(dim=(2, 3)))
        return [last] if self.middle is None else [last, self.middle(features[1].detach())]

    def forward(self, images: Tensor) -> Tensor:
        last, *middle = self.look(images)
        return at_least_float32(last) + middle[0] if middle else last

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of each classifier; `labels` are classes `(B,)` or weights of classes `(B, K)`."""
        terms = [F.cross_entropy(at_least_float32(logits), labels) for logits in self.look(images)]
        return dict(zip(("cross_entropy", "middle"), terms, strict=False))

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        yield self.losses(*(self.mix(images, labels) if self.probability else (images, labels)))

    @torch.no_grad()
    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Each image mixed with one drawn from the batch, and its weights of classes `(B, K)`.

        All images of a batch share the two boxes, as in the authors' code. If one of them is empty, nothing is mixed.
        """
        size = (images.shape[2], images.shape[3])
        chosen = torch.randperm(len(images), device=images.device)
        target = draw_box(self.beta, *size, images.device)
        source = target if self.same_box else draw_box(self.beta, *size, images.device)
        covered = (target.area / (size[0] * size[1])).expand(len(images))
        pasted = covered
        if not self.area:
            maps = self.maps_for_weights(images, labels)
            shares = semantic_share(maps, target, size), semantic_share(maps, source, size)[chosen]
            covered, pasted = (torch.where(share.isnan(), covered, share) for share in shares)
        mixed = (target.area > 0) & (source.area > 0) & (torch.rand((), device=images.device) < self.probability)
        kept, added = torch.where(mixed, 1 - covered, 1), torch.where(mixed, pasted, 0)
        if self.doubled:
            factor = 1 + (mixed & (labels == labels[chosen]))
            kept, added = factor * kept, factor * added
        weights = kept[:, None] * self.one_hot(labels) + added[:, None] * self.one_hot(labels[chosen])
        return torch.where(mixed, paste(images, images[chosen], target, source), images), weights.to(images.dtype)

    def one_hot(self, labels: Tensor) -> Tensor:
        """`(B,)` -> bool `(B, K)`."""
        return labels[:, None] == torch.arange(self.num_classes, device=labels.device)

    def maps_for_weights(self, images: Tensor, labels: Tensor) -> Tensor:
        """`class_maps`, in evaluation mode with `frozen_statistics`."""
        training = [module for module in self.modules() if module.training] if self.frozen_statistics else []
        for module in training:
            module.training = False
        maps = self.class_maps(images, labels)
        for module in training:
            module.training = True
        return maps

    def class_maps(self, images: Tensor, labels: Tensor) -> Tensor:
        """Class activation maps of the labels, `(B, h, w)`, from the rectified features as in the authors' code."""
        (features, *_) = self.backbone(images)
        return class_activation(features.relu(), self.head.weight, labels)

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """What the last and the middle map predict alone; nothing if there is no middle branch."""
        return {} if self.middle is None else dict(zip(("last map", "middle map"), self.look(images), strict=True))

    def attention(self, images: Tensor) -> Tensor:
        """Class activation map of the class that the last map predicts, negative evidence set to 0, `(B, 1, h, w)`."""
        (features, *_) = self.backbone(images)
        return predicted_class_map(features, self.head)


class GlobalMaximum(nn.Module):
    """Each channel's largest value: `(B, C, h, w)` -> `(B, C)`."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(2, 3))


def middle_branch(channels: int, classes: int) -> nn.Sequential:
    """1x1 convolution, ReLU, global maximum, linear layer: `(B, C, h, w)` -> `(B, K)`."""
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), GlobalMaximum(), nn.Linear(channels, classes))
