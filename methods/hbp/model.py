"""Hierarchical Bilinear Pooling: products of projections of several layers.

Yu, Zhao, Zheng, Zhang, You, "Hierarchical Bilinear Pooling for Fine-Grained Visual Recognition", ECCV 2018 (arXiv
1807.09915).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.hbp.pooling import PortProjection, Projection, cross_layer_pool, on_one_grid
from methods.interface import BackboneSource, Method, Phase, Tap
from methods.ops.second_order.roots import check_root, signed_sqrt
from methods.ops.stages import phases_of

VGG16_TAPS = ("features.25", "features.27", "features.29")
"""relu5_1, relu5_2 and relu5_3."""

OTHER_TAPS = (8, 16, 32)


class HierarchicalBilinearPooling(Method):
    """z = concatenation over pairs of layers of norm(Σ_l (Uᵀx_l) ∘ (Vᵀy_l)), and a linear classifier (Section 3).

    Each pair's sum is rooted and scaled to length 1 by itself.

    Options:
        taps: the layers. None: relu5_1, relu5_2 and relu5_3 of a VGG-16; of any other network the maps of strides 8, 16
            and 32, averaged over the cells of the last. Three modules of one stage, as `[layer4.0, layer4.1, layer4.2]`
            of a ResNet-50, are nearer the paper.
        pairs: which of them are multiplied, by their places in `taps`. A layer has one projection for all of its pairs;
            paired with itself, it has a second one.
        dimension: d of a projection.
        port: the projection of luyao777's port: one for all layers of as many channels, without bias, with batch norm
            and ReLU.
        root, epsilon: how the slope of the square root at 0 is kept finite; see `methods/ops/second_order/roots.py`.
        stages: which of the two steps of training are done, in order: the new layers alone, then everything.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        taps: Sequence[Tap] | None = None,
        pairs: Sequence[Sequence[int]] = ((0, 1), (0, 2), (1, 2)),
        dimension: int = 8192,
        port: bool = False,
        root: str = "exact",
        epsilon: float = 9e-4,
        stages: Sequence[str] = ("classifier", "all"),
    ) -> None:
        super().__init__()
        check_root(root, epsilon)
        if taps is None:
            taps = VGG16_TAPS if backbones.name == "vgg16" else OTHER_TAPS
        if not pairs or any(len(pair) != 2 or not set(pair) <= set(range(len(taps))) for pair in pairs):
            raise ValueError(f"pairs are {list(pairs)}; each must be two of 0 to {len(taps) - 1}, the places in taps")
        self.stages = phases_of(stages)
        self.root, self.epsilon = root, epsilon
        ends = [((first, 1), (second, 2 if first == second else 1)) for first, second in pairs]
        projected = sorted({end for pair in ends for end in pair})
        self.pairs = [(projected.index(first), projected.index(second)) for first, second in ends]
        layers = sorted({layer for layer, _ in projected})
        self.layers = [layers.index(layer) for layer, _ in projected]
        self.backbone = backbones.features([taps[layer] for layer in layers])
        channels = [self.backbone.channels[layer] for layer in self.layers]
        if port:
            different = list(dict.fromkeys(channels))
            # A module that was listed twice would have two names in the weights, and a weight file allows it only one.
            self.projections = nn.ModuleList(PortProjection(count, dimension) for count in different)
            self.projection_of = [different.index(count) for count in channels]
        else:
            self.projections = nn.ModuleList(Projection(count, dimension) for count in channels)
            self.projection_of = list(range(len(channels)))
        self.classifier = nn.Linear(len(self.pairs) * dimension, num_classes)
        bound = math.sqrt(3 / self.classifier.in_features)
        nn.init.uniform_(self.classifier.weight, -bound, bound)
        nn.init.zeros_(self.classifier.bias)

    def descriptor(self, images: Tensor) -> Tensor:
        """The normalised vectors of all pairs side by side, `(B, pairs · d)`, at least in float32."""
        maps = [one.flatten(2) for one in on_one_grid(self.backbone(images))]
        projections = [self.projections[number] for number in self.projection_of]
        sums = cross_layer_pool([maps[layer] for layer in self.layers], projections, self.pairs)
        return torch.cat([F.normalize(signed_sqrt(one, self.root, self.epsilon), dim=1) for one in sums], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.descriptor(images))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(self(images), labels)}

    def phases(self) -> tuple[Phase, ...]:
        return self.stages
