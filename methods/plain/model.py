"""The baseline that every method must beat: a fine-tuned backbone, global average pooling, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from methods.interface import BackboneSource, Method, Tap
from methods.ops.class_activation import predicted_class_map


class Plain(Method):
    """logits = W · mean over positions of the tapped map + b.

    Options:
        tap: where the features are taken; `"final"` is the network's own last map, which its authors pool.
        dropout: probability before the linear layer.
    """

    soft_labels = True
    maps_of_class = True

    def __init__(
        self, backbones: BackboneSource, num_classes: int, *, tap: Tap = "final", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone = backbones.features([tap])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.channels[0], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.head(self.dropout(features.mean(dim=(2, 3))))

    def attention(self, images: Tensor) -> Tensor:
        """Class activation map of the predicted class, negative evidence set to 0, `(B, 1, h, w)`.

        Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2.
        """
        (features,) = self.backbone(images)
        return predicted_class_map(features, self.head)
