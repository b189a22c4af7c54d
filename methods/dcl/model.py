"""DCL: a network that learns from images whose regions are shuffled, and to tell how they were.

Chen, Bai, Zhang, Mei, "Destruction and Construction Learning for Fine-Grained Image Recognition", CVPR 2019.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.dcl.alignment import Location, RegionAlignment, matched_by_brightness, zoomed
from methods.interface import BackboneSource, Method, Tap
from methods.ops.attention.class_activation import predicted_class_map
from methods.ops.jigsaw import permute_blocks
from methods.ops.options import check_word
from methods.ops.patch_shuffle import confuse, confuse_by_neighbours
from methods.ops.precision import at_least_float32

Adversary = Literal["none", "two", "classes"]
"""What the adversarial head tells apart: nothing, whole and destroyed images, or whole and destroyed ones of each class
(2·K outputs)."""

Shuffle = Literal["none", "sorted", "neighbours"]
"""How regions are shuffled: not at all, or as `patch_shuffle.confuse` or `confuse_by_neighbours` does."""

Sources = Literal["true", "brightness"]
"""Where regions came from, to the alignment: their true permutation, or `matched_by_brightness`."""


class DCL(Method):
    """Cross-entropy of whole and destroyed images + adversarial loss + γ · region alignment.

    Destruction: the region confusion mechanism shuffles the n × n regions of each image within a neighbourhood, so that
    only what is inside a region tells the class; the adversarial head learns to tell destroyed images from whole ones,
    and so keeps the noise of the destruction apart. Construction: region alignment learns where each region came from,
    in both. At test time only backbone, pooling and one linear layer are used.

    Options:
        grid: n. A map with a multiple of n cells a side aligns best: 7 at 448 px and stride 32, where it has 14.
        neighbourhood: k, by how many places a region's sorting key is moved at most.
        shuffle: see `Shuffle`; `"none"` leaves out everything but the first loss, on whole images.
        border: share of the sides that is cut off images before their regions are shuffled.
        adversary: see `Adversary`.
        alignment: γ; 0 leaves the alignment out. The authors take 1 for birds, 0.01 for cars and aircraft.
        location: see `RegionAlignment`.
        sources: see `Sources`.
        tap: where the map is taken.
    """

    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        grid: int = 7,
        neighbourhood: float = 2,
        shuffle: Shuffle = "sorted",
        border: float = 0.0,
        adversary: Adversary = "two",
        alignment: float = 1.0,
        location: Location = "coordinates",
        sources: Sources = "true",
        tap: Tap = "final",
    ) -> None:
        super().__init__()
        words = {"shuffle": (shuffle, Shuffle), "adversary": (adversary, Adversary), "sources": (sources, Sources)}
        for name, (chosen, known) in words.items():
            check_word(name, chosen, get_args(known))
        if not 0 <= border < 0.5 or grid < 1:
            raise ValueError(f"border is {border}, grid {grid}; they must be a share below 0.5, and 1 or more regions")
        if shuffle == "none" and (adversary != "none" or alignment):
            raise ValueError("without a shuffle nothing can be told apart or aligned: set adversary none, alignment 0")
        self.backbone = backbones.features([tap])
        channels = self.backbone.channels[0]
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        outputs = {"none": 0, "two": 2, "classes": 2 * num_classes}[adversary]
        self.adversary = nn.Linear(channels, outputs, bias=False) if outputs else None
        self.align = RegionAlignment(channels, grid, location) if alignment else None
        self.grid, self.neighbourhood, self.shuffle, self.border = grid, neighbourhood, shuffle, border
        self.num_classes, self.per_class, self.sources = num_classes, adversary == "classes", sources
        self.alignment = alignment
        self.readout_views = {"class and halves": 1} if self.per_class else {}

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.backbone(images)
        return self.classifier(features.mean(dim=(2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """L_cls of both, L_adv and γ · L_loc; the class alone where nothing is destroyed."""
        if self.shuffle == "none":
            return {"cross_entropy": F.cross_entropy(at_least_float32(self(images)), labels)}
        destroyed, sources = self.destroy(images)
        (features,) = self.backbone(torch.cat([images, destroyed]))
        pooled = features.mean(dim=(2, 3))
        both = torch.cat([labels, labels])
        losses = {"cross_entropy": F.cross_entropy(at_least_float32(self.classifier(pooled)), both)}
        if self.adversary is not None:
            kinds = self.kinds(labels)
            losses["adversarial"] = F.cross_entropy(at_least_float32(self.adversary(pooled)), kinds)
        if self.align is not None:
            losses["alignment"] = self.alignment * self.align(features, sources)
        return losses

    @torch.no_grad()
    def destroy(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The region confusion mechanism: destroyed images `(B, 3, H, W)`, and the sources `(2·B, n·n)` of the regions
        of whole and destroyed ones."""
        count, n, device = len(images), self.grid, images.device
        if self.shuffle == "sorted":
            order = confuse(count, n, self.neighbourhood, device)
        else:
            order = confuse_by_neighbours(count, n, device)
        destroyed = permute_blocks(zoomed(images, self.border) if self.border else images, order, n)
        if self.sources == "brightness":
            order = matched_by_brightness(images, destroyed, n)
        whole = torch.arange(n * n, device=device).expand(count, -1)
        return destroyed, torch.cat([whole, order])

    def kinds(self, labels: Tensor) -> Tensor:
        """Classes of the adversarial head for whole and destroyed images: `(B,)` -> `(2·B,)`."""
        if self.per_class:
            return torch.cat([labels, labels + self.num_classes])
        return torch.cat([torch.ones_like(labels), torch.zeros_like(labels)])

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """With an adversary of 2·K classes, as released code tests: its two halves added to the class's logits."""
        if self.adversary is None or not self.per_class:
            return {}
        (features,) = self.backbone(images)
        pooled = features.mean(dim=(2, 3))
        whole, destroyed = self.adversary(pooled).chunk(2, dim=1)
        return {"class and halves": self.classifier(pooled) + whole + destroyed}

    def attention(self, images: Tensor) -> Tensor:
        """Class activation map of the predicted class, negative evidence set to 0, `(B, 1, h, w)`."""
        (features,) = self.backbone(images)
        return predicted_class_map(features, self.classifier)
