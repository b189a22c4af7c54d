"""FSM: the patches that the last stage attends to, and the contrastive loss on their mean (Sections 3.4 and 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32


def pool_selected(attention: Tensor, tokens: Tensor, selected: int | None) -> Tensor:
    """Mean of the chosen patches: attention `(B, heads, h, w)` and tokens `(B, C, h, w)` -> `(B, C)`.

    Each head chooses the patch it gives most attention to, as in TransFG; a patch that several choose counts
    several times. With `selected`, the patches with the most attention over all heads are taken.
    """
    chosen = chosen_patches(attention, selected)
    index = chosen.unsqueeze(1).expand(-1, tokens.shape[1], -1)
    return tokens.flatten(2).gather(2, index).mean(dim=2)


def chosen_patches(attention: Tensor, selected: int | None) -> Tensor:
    """Positions of the chosen patches in row-major order: attention `(B, heads, h, w)` -> `(B, heads or selected)`."""
    received = attention.flatten(2)
    if selected is None:
        return received.argmax(dim=2)
    return received.mean(dim=1).topk(min(selected, received.shape[2]), dim=1).indices


def contrastive_loss(vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
    """L_con of `(B, C)` vectors: pulls pairs of a class together, pushes others apart until their cosine is `margin`.

    (1 / B²) · [Σ_{same class} (1 - cos) + Σ_{other class} max(cos - margin, 0)] over all ordered pairs, a vector with
    itself included: it adds nothing. TransFG's loss (He et al., AAAI 2022); never below float32.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        unit = F.normalize(at_least_float32(vectors), dim=1)
        cosine = unit @ unit.T
        same = labels.unsqueeze(0) == labels.unsqueeze(1)
        return torch.where(same, 1 - cosine, (cosine - margin).clamp_min(0)).mean()
