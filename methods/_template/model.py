"""TODO: the method in one line.

TODO: authors, "title", venue and year, with a link.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap


class TemplateMethod(Method):
    """TODO: the idea with its equations. As it stands: logits = W · mean over positions of the map + b.

    Options:
        tap: where the features are taken: a stride, a module's name, or `"final"` for the network's last map.
    """

    def __init__(self, backbones: BackboneSource, num_classes: int, *, tap: Tap = "final") -> None:
        super().__init__()
        self.backbone = backbones.features([tap])
        self.head = nn.Linear(self.backbone.channels[0], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.head(average_pool(features))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """TODO: the loss with its equation. As it stands: cross-entropy."""
        return {"cross_entropy": F.cross_entropy(self(images), labels)}


def average_pool(features: Tensor) -> Tensor:
    """TODO: the paper's operator with its equation. As it stands: `(B, C, h, w)` -> mean over positions, `(B, C)`."""
    return features.mean(dim=(2, 3))
