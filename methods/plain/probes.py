"""Classifiers of frozen features: multinomial logistic regression, nearest neighbours, nearest class mean.

Each is a module `(B, D)` -> `(B, K)` that `fit` fills from features `(n, D)` and labels `(n,)`; none draws anything.
All compute at least in float32, also under autocast, since a Run in bf16 scores them outside of it and predicts within.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.precision import at_least_float32
from methods.plain.logistic import fit_logistic

NEIGHBOURS = 20
TEMPERATURE = 0.07
"""Both as DINO's protocol has them (Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV
2021, Section 4.1: k = 20; temperature of Wu et al., CVPR 2018)."""
NO_VOTE = 1e-6
"""Share of the votes that a class without one gets, so that every logit is a number."""


class LinearProbe(nn.Linear):
    """Multinomial logistic regression with L2, solved by L-BFGS (`methods/plain/logistic.py`)."""

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(at_least_float32(features))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        """Returns the strength of L2 that was chosen, and the cross-entropy that is left."""
        found = fit_logistic(features, labels, self.out_features)
        self.weight.copy_(found.weight)
        self.bias.copy_(found.bias)
        return {"loss": found.loss, "l2": found.l2}


class NearestNeighbours(nn.Module):
    """The 20 most similar training images vote for their class, each with weight exp(cosine / 0.07).

    Logits are logarithms of a class's share of the votes, so that their softmax is that share.
    """

    features: Tensor
    """`(n, D)` of length 1."""
    labels: Tensor

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("features", torch.zeros(0, channels))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            asked = F.normalize(at_least_float32(features), dim=1)
            cosines, nearest = (asked @ self.features.T).topk(min(NEIGHBOURS, len(self.features)), dim=1)
            own = self.labels[nearest][:, :, None] == torch.arange(self.num_classes, device=asked.device)
            votes = (own * ((cosines - 1) / TEMPERATURE).exp()[:, :, None]).sum(dim=1)
            share = votes / votes.sum(dim=1, keepdim=True).clamp_min(torch.finfo(votes.dtype).tiny)
            return share.clamp_min(NO_VOTE).log()

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        """Keeps all of them."""
        self.features, self.labels = F.normalize(features, dim=1).to(self.features.dtype), labels.clone()
        return {}

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """What torch calls to fill the module: how many images there are is in the file alone."""
        for name in ("features", "labels"):
            own, kept = getattr(self, name), state.get(prefix + name)
            if kept is not None and kept.shape[1:] == own.shape[1:]:
                setattr(self, name, own.new_zeros(kept.shape))
        super()._load_from_state_dict(state, prefix, *rest)


class Centroids(nn.Module):
    """Cosine to each class's mean of features of length 1, divided by 0.07; the lowest for a class without any."""

    weight: Tensor
    """`(K, D)`: class means, of length 1 again."""
    bias: Tensor
    """`(K,)`: 0, or what makes a class without images the last."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_classes, channels))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(F.normalize(at_least_float32(features), dim=1), self.weight, self.bias) / TEMPERATURE

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        own = F.one_hot(labels, len(self.weight)).T.to(features.dtype)
        self.weight.copy_(F.normalize(own @ F.normalize(features, dim=1), dim=1))
        self.bias.copy_(torch.where(own.any(dim=1), 0.0, -2.0))
        return {}


PROBES: Mapping[str, type[nn.Module]] = {"linear": LinearProbe, "knn": NearestNeighbours, "centroid": Centroids}
