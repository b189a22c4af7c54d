"""TransFG's contrastive loss (He et al., AAAI 2022), which SwinFC took over."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32


def contrastive_loss(vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Of vectors `(B, C)`: pulls pairs of a class together, and pushes others apart until their cosine is `margin`.

    (1 / B²) · [Σ_{same class} (1 - cos) + Σ_{other class} max(cos - margin, 0)] over all ordered pairs, a vector with
    itself included: it adds nothing. At least float32.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        unit = F.normalize(at_least_float32(vectors), dim=1)
        cosine = unit @ unit.T
        same = labels.unsqueeze(0) == labels.unsqueeze(1)
        return torch.where(same, 1 - cosine, (cosine - margin).clamp_min(0)).mean()
