"""The baseline that every method must beat: average pooling or class token, and one linear layer; all is fine-tuned, or
the network stays frozen and a probe is fitted to its features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from methods.interface import BackboneSource, Method, Phase, Tap
from methods.ops.attention.class_activation import class_activation
from methods.ops.options import check_word
from methods.plain.logistic import PASSES
from methods.plain.probes import PROBES


class Plain(Method):
    """logits = W · (mean over positions of the tapped map) + b; of a vision transformer, its class token.

    Options:
        tap: where the features are taken; `"final"` is the network's own last map, which its authors pool, and where
            the last features are tokens what its own classifier reads of them.
        dropout: probability before the linear layer.
        probe: `"linear"`, `"knn"` or `"centroid"` fits that to frozen features; None fine-tunes the whole network.
        patches: whether the mean of all patches is appended to a class token (DINOv2, Oquab et al., 2023).
    """

    soft_labels = True
    maps_of_class = True
    frozen_options = ("tap", "patches")

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = "final",
        dropout: float = 0.0,
        probe: str | None = None,
        patches: bool = False,
    ) -> None:
        super().__init__()
        if probe is not None:
            check_word("probe", probe, PROBES)
        if patches and tap != "final":
            raise ValueError(f"patches are of the tap 'final', not {tap!r}")
        self.probe, self.patches = probe, patches
        self.backbone = backbones.features(["classified", "final"] if tap == "final" else [tap])
        self.fit_passes = PASSES if probe == "linear" else 0
        self.dropout = nn.Dropout(dropout)
        channels = self.backbone.channels[0] + (self.backbone.channels[-1] if patches else 0)
        # mypy does not see what a probe has besides `forward`
        self.head: Any = PROBES[probe](channels, num_classes) if probe else nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.dropout(self.frozen_features(images)))

    def phases(self) -> tuple[Phase, ...]:
        return super().phases() if self.probe is None else ()

    def frozen_features(self, images: Tensor) -> Tensor:
        return self._pooled(self.backbone(images))

    def fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        numbers: dict[str, float] = self.head.fit(features, labels)
        return numbers

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits

    def attention(self, images: Tensor) -> Tensor | None:
        """Class activation map of the predicted class, negative evidence set to 0, `(B, 1, h, w)`.

        Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2. Of a vision
        transformer it is the evidence that the patches would give in the place of the class token. None of nearest
        neighbours, which weigh no channels.
        """
        if self.probe == "knn":
            return None
        maps = self.backbone(images)
        predicted = self.head(self._pooled(maps)).argmax(dim=1)
        weight = self.head.weight[:, -maps[-1].shape[1] :]
        return class_activation(maps[-1], weight, predicted)[:, None].clamp_min(0)

    def _pooled(self, maps: list[Tensor]) -> Tensor:
        """The backbone's maps as features `(B, D)`."""
        means = [one.mean(dim=(2, 3)) for one in (maps if self.patches else maps[:1])]
        return torch.cat(means, dim=1) if self.patches else means[0]
