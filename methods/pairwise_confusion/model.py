"""Pairwise Confusion: images of different classes are asked to be predicted alike.

Dubey, Gupta, Guo, Raskar, Farrell, Naik, "Pairwise Confusion for Fine-Grained Visual Classification", ECCV 2018,
arXiv 1705.08016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Sampling, Tap
from methods.ops.attention.class_activation import predicted_class_map
from methods.ops.options import check_share, check_word
from methods.ops.pairs import distance
from methods.ops.precision import at_least_float32

Pairs = Literal["different", "all"]
Space = Literal["probabilities", "absolute", "logits"]
SPACES: dict[Space, Callable[[Tensor], Tensor]] = {
    "probabilities": lambda logits: logits.softmax(dim=1),
    "absolute": lambda logits: logits.abs().softmax(dim=1),
    "logits": lambda logits: logits,
}


class PairwiseConfusion(Method):
    """Cross-entropy + Euclidean confusion between the two halves of a batch; the network is the plain one.

        loss = CE + λ · (1 / B) · sum over i ≤ B/2 of γ_i · ||p(x_i) - p(x_{i + B/2})||²

    p is the softmax, and γ_i is 1 if the two images are of different classes, else 0. The term is largest where both
    are predicted with certainty and differently, so it keeps predictions flat.

    Options:
        confusion: λ, in units of the number of classes K: the authors advise 0.1·K to 0.2·K. 0 leaves the term out.
        per_class: whether `confusion` is multiplied by K; else it is λ itself.
        pairs: of `different` classes only, or `all`.
        squared: whether the distance is squared.
        space: what is compared: the `probabilities`; those of the `absolute` logits, as in the authors' Caffe code; or
            the `logits` themselves.
        smoothing: of the labels in the cross-entropy, for `hawkeye`.
        tap: where the map is taken.
    """

    sampling = Sampling(even=True)
    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        confusion: float = 0.1,
        per_class: bool = True,
        pairs: Pairs = "different",
        squared: bool = True,
        space: Space = "probabilities",
        smoothing: float = 0.0,
        tap: Tap = "final",
    ) -> None:
        super().__init__()
        check_word("pairs", pairs, get_args(Pairs))
        check_word("space", space, SPACES)
        check_share("smoothing", smoothing)
        self.weight = confusion * num_classes if per_class else confusion
        self.pairs, self.squared, self.space, self.smoothing = pairs, squared, space, smoothing
        self.backbone = backbones.features([tap])
        self.head = nn.Linear(self.backbone.channels[0], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.head(features.mean(dim=(2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = at_least_float32(self(images))
        losses = {"cross_entropy": F.cross_entropy(logits, labels, label_smoothing=self.smoothing)}
        if self.weight:
            losses["confusion"] = self.weight * self.confusion(logits, labels)
        return losses

    def confusion(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(1 / B) · the sum of the distances of all pairs, unweighted: logits `(B, K)`, labels `(B,)` -> a scalar.

        Image i is paired with image i + B/2. If B is odd, the last image has no partner.
        """
        half = len(labels) // 2
        predicted = SPACES[self.space](logits)
        left, right = predicted[:half], predicted[half : 2 * half]
        apart = (left - right).square().sum(dim=1) if self.squared else distance(left, right)
        if self.pairs == "different":
            apart = apart * (labels[:half] != labels[half : 2 * half])
        return apart.sum() / len(labels)

    def attention(self, images: Tensor) -> Tensor:
        """Class activation map of the predicted class, negative evidence set to 0, `(B, 1, h, w)`.

        The paper shows Grad-CAM (Fig. 3), which is the same up to a factor for a linear layer on the mean.
        """
        (features,) = self.backbone(images)
        return predicted_class_map(features, self.head)
