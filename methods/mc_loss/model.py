"""MC-Loss: channels that belong to classes, each discriminative, and those of one class at different positions.

Chang, Ding, Xie, Bhunia, Li, Ma, Wu, Guo, Song, "The Devil is in the Channels: Mutual-Channel Loss for Fine-Grained
Image Classification", IEEE Transactions on Image Processing 29 (2020), arXiv 2002.04264.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.interface import BackboneError, BackboneSource, Method, Sampling, Tap
from methods.mc_loss.channels import Over, channel_mask, class_responses, cross_channel_max, diversity
from methods.mc_loss.maps import Source, classifier, new_channels
from methods.ops.options import check_positive, check_word
from methods.ops.precision import at_least_float32


class MCLoss(Method):
    """Cross-entropy + α · discriminality + β · diversity of the channels that the classifier reads.

    Discriminality: of each class's channels some random ones are dropped (CWA), the largest of the others is taken at
    each position (CCMP) and averaged over the image (GAP), and that is the class's logit. Diversity: see
    `channels.diversity`. With α = μ and β = μ · λ · ξ, for ξ channels of each class, it is the paper's
    CE + μ · (L_dis - λ · L_div) but for a constant. Inference uses backbone and classifier alone.

    Options:
        tap: where the map is taken.
        channels: where the channels come from; see `maps.Source`.
        per_class: ξ of new channels; the map's own are shared out as evenly as they can be.
        width: the number of new channels; None: ξ for each class.
        kernel: side of the new convolution.
        discriminality, diversity: α and β; 0 leaves out the term.
        dropped: share of a class's channels that CWA drops, rounded down.
        diversity_over: see `channels.Over`.
        cells: the classifier reads the maxima of `cells` x `cells` parts of each channel.
        hidden: units of the classifier's hidden layer.
    """

    sampling = Sampling(drop_last=True)
    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = "final",
        channels: Source = "own",
        per_class: int = 3,
        width: int | None = None,
        kernel: int = 1,
        discriminality: float = 0.0005,
        diversity: float = 0.005,
        dropped: float = 0.4,
        diversity_over: Over = "classes",
        cells: int = 1,
        hidden: int = 512,
    ) -> None:
        super().__init__()
        check_word("channels", channels, get_args(Source))
        check_word("diversity_over", diversity_over, get_args(Over))
        check_positive("cells", cells)
        check_positive("hidden", hidden)
        if not 0 <= dropped < 1:
            raise ValueError(f"dropped is {dropped}; it must be a share, from 0 to less than 1")
        self.backbone = backbones.features([tap])
        own = self.backbone.channels[0]
        self.width = own if channels == "own" else width or per_class * num_classes
        if self.width < num_classes:
            raise BackboneError(
                f"{self.width} channels are too few for {num_classes} classes, each of which needs one; set "
                "options.channels=convolution, or tap a wider map"
            )
        self.channels = new_channels(channels, own, self.width, kernel)
        self.classifier = classifier(self.width, cells, hidden, num_classes)
        self.num_classes, self.dropped, self.diversity_over = num_classes, dropped, diversity_over
        self.discriminality, self.diversity = discriminality, diversity

    def maps(self, images: Tensor) -> Tensor:
        """The channels of the classes, `(B, C, h, w)`."""
        (features,) = self.backbone(images)
        return self.channels(features)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.maps(images))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        maps = self.maps(images)
        losses = {"cross_entropy": F.cross_entropy(at_least_float32(self.classifier(maps)), labels)}
        if self.discriminality:
            mask = channel_mask(self.width, self.num_classes, self.dropped, maps.device)
            logits = class_responses(maps * mask, self.num_classes)
            losses["discriminality"] = self.discriminality * F.cross_entropy(logits, labels)
        if self.diversity:
            losses["diversity"] = self.diversity * diversity(maps, self.num_classes, self.diversity_over)
        return losses

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """What the channels predict without the classifier; nothing if they are not taught to."""
        return {"channels": class_responses(self.maps(images), self.num_classes)} if self.discriminality else {}

    def attention(self, images: Tensor) -> Tensor:
        """The largest of the predicted class's channels at each position, negative values set to 0, `(B, 1, h, w)`."""
        maps = self.maps(images)
        predicted = self.classifier(maps).argmax(dim=1)
        images_ = torch.arange(len(images), device=images.device)
        return cross_channel_max(maps, self.num_classes)[images_, predicted][:, None].clamp_min(0)
