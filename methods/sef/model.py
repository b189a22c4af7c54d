"""SEF: groups of channels that each stand for a part of the object and are each taught to predict like the whole.

Luo, Zhang, Li, Wei, "Learning Semantically Enhanced Feature for Fine-Grained Image Classification", IEEE Signal
Processing Letters 27 (2020), arXiv 2006.13457.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.precision import at_least_float32
from methods.sef.losses import Form, LocalMaxGlobalMin, entropy, group_sizes, soft_cross_entropy


class SEF(Method):
    """Cross-entropy + LocalMaxGlobalMin - entropy + distillation from the whole feature into its groups.

    Semantic grouping: the last map's channels are cut into contiguous groups. No channel is moved; the grouping loss
    makes the filters learn that order (the paper's permutation A·B = W, with W learned in place of A).
    Feature enhancement: each group's pooled feature has a linear head of its own, trained only to predict what the
    whole feature predicts. At test time only backbone, pooling and one linear layer are used.

    Options:
        groups: G. The authors' code takes 4 for CUB, 3 for Aircraft, 2 for Cars and Dogs.
        lmgm, entropy, distillation: weights of the three terms; 0 leaves out the term and what only it needs. A
            positive `entropy` rewards a flat prediction, as in the paper; the released MaxEnt baseline has -1.
        lmgm_form: see `LocalMaxGlobalMin`.
        tap: where the map is taken.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        groups: int = 4,
        lmgm: float = 1.0,
        entropy: float = 1.0,
        distillation: float = 0.05,
        lmgm_form: Form = "pairs",
        tap: Tap = "final",
    ) -> None:
        super().__init__()
        self.backbone = backbones.features([tap])
        channels = self.backbone.channels[0]
        self.sizes = group_sizes(channels, groups)
        self.lmgm, self.entropy, self.distillation = lmgm, entropy, distillation
        self.head = nn.Linear(channels, num_classes)
        self.grouping = LocalMaxGlobalMin(self.sizes, lmgm_form)
        taught = self.sizes if distillation else []  # nothing else trains these heads
        self.local_heads = nn.ModuleList(nn.Linear(size, num_classes) for size in taught)

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.head(features.mean(dim=(2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        (features,) = self.backbone(images)
        pooled = features.mean(dim=(2, 3))
        logits = at_least_float32(self.head(pooled))
        losses = {"cross_entropy": F.cross_entropy(logits, labels)}
        if self.lmgm:
            losses["lmgm"] = self.lmgm * self.grouping(features)
        if self.entropy:
            losses["entropy"] = -self.entropy * entropy(logits)
        if self.distillation:
            taught = at_least_float32(self.local_logits(pooled))
            losses["distillation"] = self.distillation * soft_cross_entropy(logits, taught)
        return losses

    def local_logits(self, pooled: Tensor) -> Tensor:
        """Logits of each group alone: pooled features `(B, C)` -> `(G, B, K)`."""
        parts = pooled.split(self.sizes, dim=1)
        return torch.stack([head(part) for head, part in zip(self.local_heads, parts, strict=True)])

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """What each group of channels predicts alone; nothing if no local heads are taught."""
        if not self.local_heads:
            return {}
        (features,) = self.backbone(images)
        groups = self.local_logits(features.mean(dim=(2, 3)))
        return {f"group {number}": logits for number, logits in enumerate(groups, 1)}

    def attention(self, images: Tensor) -> Tensor:
        """Mean activation of each group, negative values set to 0, `(B, G, h, w)`."""
        (features,) = self.backbone(images)
        maps = [part.mean(dim=1) for part in features.split(self.sizes, dim=1)]
        return torch.stack(maps, dim=1).clamp_min(0)
