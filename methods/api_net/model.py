"""API-Net: two images are compared, and each is classified with the gates of both.

Zhuang, Wang, Qiao, "Learning Attentive Pairwise Interaction for Fine-Grained Classification", AAAI 2020,
arXiv 2002.10191.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Sampling, Tap
from methods.ops.attention.class_activation import predicted_class_map
from methods.ops.options import check_word
from methods.ops.pairs import mean_of, nearest
from methods.ops.precision import at_least_float32

Kind = Literal["intra", "inter"]
KINDS: tuple[Kind, ...] = ("intra", "inter")

Gates = Literal["both", "self"]


class APINet(Method):
    """Trains on pairs of similar images; at test time it is the backbone, its mean and one linear layer.

    Every image x₁ of a batch is paired with the most similar one of its class (`intra`) and of the other classes
    (`inter`), each in turn called x₂:

        x_m = MLP([x₁, x₂])                             the mutual vector (eq. 1)
        g_i = sigmoid(x_m ⊙ x_i)                        a gate for each of the two (eq. 2)
        x_i^self = x_i + x_i ⊙ g_i                      with its own gate, and
        x_i^other = x_i + x_i ⊙ g_j                     with that of the other (eq. 3 to 6)
        loss = CE of all four + λ · mean over i of max(0, p(x_i^other) - p(x_i^self) + margin)

    where p is the probability of the image's class, and one linear layer classifies all four.

    Options:
        pairs: which kinds of pairs; none leaves the backbone and its classifier, the ablation's baseline.
        gates: `both`, or only `self`, which leaves out x^other and with it the ranking.
        ranking: λ; 0 leaves the term out.
        margin: of the ranking, in units of probability.
        hidden: width of the MLP. As in the authors' code there is dropout and no non-linearity between its two layers.
        dropout: probability before the classifier and within the MLP.
        images_per_class: of a batch. Intra pairs need two.
        tap: where the map is taken.
    """

    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        pairs: Sequence[Kind] = KINDS,
        gates: Gates = "both",
        ranking: float = 1.0,
        margin: float = 0.05,
        hidden: int = 512,
        dropout: float = 0.5,
        images_per_class: int = 4,
        tap: Tap = "final",
    ) -> None:
        super().__init__()
        for kind in pairs:
            check_word("a kind of pairs", kind, KINDS)
        check_word("gates", gates, get_args(Gates))
        if images_per_class < 2 and "intra" in pairs:
            raise ValueError(f"images_per_class is {images_per_class}; pairs within a class need 2 or more")
        self.sampling = Sampling(images_per_class=images_per_class)
        self.pairs, self.gates, self.ranking, self.margin = tuple(pairs), gates, ranking, margin
        self.backbone = backbones.features([tap])
        channels = self.backbone.channels[0]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        if self.pairs:
            self.mutual = nn.Sequential(
                nn.Linear(2 * channels, hidden), nn.Dropout(dropout), nn.Linear(hidden, channels)
            )

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.head(features.mean(dim=(2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`cross_entropy` and `ranking`, means over the pairs that the batch has; 0 where it has none, as one image."""
        (maps,) = self.backbone(images)
        features = maps.mean(dim=(2, 3))
        if not self.pairs:
            return {"cross_entropy": F.cross_entropy(self.head(self.dropout(features)), labels)}
        first, second, found = self.paired(features, labels)
        classes = torch.stack([labels[first], labels[second]])  # (2, P)
        both = self.interact(features[first], features[second])  # (2, G, P, C)
        logits = at_least_float32(self.head(self.dropout(both)))
        places = classes[:, None, :, None].expand(-1, logits.shape[1], -1, 1)
        log_p = logits.log_softmax(dim=3).gather(3, places).squeeze(3)  # (2, G, P), of the image's class
        losses = {"cross_entropy": mean_of(-log_p, found.expand_as(log_p))}
        if self.ranking and self.gates == "both":
            own, other = log_p.exp().unbind(dim=1)
            excess = (other - own + self.margin).clamp_min(0)
            losses["ranking"] = self.ranking * mean_of(excess, found.expand_as(excess))
        return losses

    def paired(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pairs of a batch, features `(B, C)`: places `(P,)` of both images, and whether there is such a pair.

        P is B for each kind of pair. An image without a partner of a kind is paired with itself and marked.
        """
        partners = dict(zip(KINDS, nearest(features, labels), strict=True))
        chosen = [partners[kind] for kind in self.pairs]
        first = torch.arange(len(labels), device=labels.device).repeat(len(chosen))
        return first, torch.cat([one.position for one in chosen]), torch.cat([one.found for one in chosen])

    def interact(self, first: Tensor, second: Tensor) -> Tensor:
        """Pairwise interaction (eq. 1 to 6): features `(P, C)` of both images of each pair -> `(2, G, P, C)`.

        First the image, of two; then whose gate it has: its own and, with `both` gates, that of the other.
        """
        mutual = self.mutual(torch.cat([first, second], dim=1))
        pair = torch.stack([first, second])
        gates = (mutual * pair).sigmoid()
        chosen = torch.stack([gates, gates.flip(0)], dim=1) if self.gates == "both" else gates[:, None]
        return pair[:, None] * (1 + chosen)

    def attention(self, images: Tensor) -> Tensor:
        """Class activation map of the predicted class, negative evidence set to 0, `(B, 1, h, w)`.

        The paper shows none; at test time API-Net is a linear layer on the mean, and this is that layer's evidence.
        """
        (features,) = self.backbone(images)
        return predicted_class_map(features, self.head)
