"""WS-DAN: look at the image, then again at the part or object that its attention maps found.

Hu, Qi, Huang, Lu, "See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for Fine-Grained
Visual Classification", arXiv 1901.09891v2. The numbers are those of the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneError, BackboneSource, Gather, Method, Tap, alone
from methods.ops.attention.centres import Centres, Duplicates, Seen, joined
from methods.ops.attention.crops import Bounds, Maximum
from methods.ops.attention.pooling import attention_convolution, bilinear_attention_pool
from methods.ops.attention.views import AttentionViews
from methods.ops.options import check_share, check_word
from methods.ops.precision import at_least_float32

INCEPTION_FEATURES: Tap = 16
"""`Mixed_6e` of Inception-v3: 768 channels, 26 x 26 at 448 px."""
INCEPTION_ATTENTION = "Mixed_7a.branch3x3_1"
"""The next block's first 1x1 convolution with BN and ReLU (`Mixed_7a/Branch_0/Conv2d_0a_1x1` of the authors' code):
its first M of 192 channels, trained on ImageNet, become the attention maps."""

Average = Literal["probabilities", "logits"]
"""What of the two views is averaged."""

AUTHORS_FAN_IN = 32 * 768
"""Entries of the authors' feature matrix, by which their classifier's initial weights are scaled (He et al.). The
matrix has length 100 whatever its size, so the scale is fixed here. Scaled by its own size, 4 maps of a narrow network
would start with logits 8 times too large, and a short training would measure how fast that is unlearnt."""


class WSDAN(Method):
    """Bilinear attention pooling, attention regularisation, attention cropping and dropping, and a second look.

    Options:
        attention: where the M maps come from. `"new"`: a new 1x1 convolution with BN and ReLU on the features;
            `"first"`: the features' own first M channels; any other name: the first M channels of that
            module. `"auto"`: the pretrained filters of `INCEPTION_ATTENTION` on Inception-v3, `"new"` elsewhere.
        tap: where the features are taken; None: `Mixed_6e` on Inception-v3, the last map elsewhere.
        maps: M; 0: no attention, only the features' mean and a linear layer (the ablation's fine-tuned network).
        maximum: pool the part features by their maximum (GMP) instead of their mean (GAP).
        scale: of the feature matrix, before the classifier.
        bias: of the classifier.
        regularisation: weight of the centre loss; with 0 there are no centres.
        normalised_centres, duplicates, centre_rate: see `Centres`; the last is β.
        crop, drop: whether each batch is also seen cropped to a part, and with a part hidden.
        crop_threshold, drop_threshold: ranges of θ_c and θ_d, from which each sample draws its own.
        object_threshold: θ of the second look, a share of the mean map's maximum.
        crop_padding, object_padding: shares of the image's sides added around a part and around the object.
        align_corners, maximum_of: how maps are resized, and of which maximum θ is a share; see `AttentionViews`.
        weighted_draw: draw a part in proportion to the strength of its map, or uniformly.
        clamp_boxes: cut boxes off at the image's edge instead of filling the outside with 0.
        bounds: how boxes are rounded; see `crops.Bounds`.
        two_views: at test time, also look at the object found by the mean map, and average.
        average: whether the two views' `"probabilities"` or their `"logits"` are averaged.
    """

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        attention: str = "auto",
        tap: Tap | None = None,
        maps: int = 32,
        maximum: bool = False,
        scale: float = 100.0,
        bias: bool = True,
        regularisation: float = 1.0,
        normalised_centres: bool = True,
        duplicates: Duplicates = "all",
        centre_rate: float = 0.05,
        crop: bool = True,
        drop: bool = True,
        crop_threshold: Sequence[float] = (0.4, 0.6),
        drop_threshold: Sequence[float] = (0.2, 0.5),
        object_threshold: float = 0.1,
        crop_padding: float = 0.1,
        object_padding: float = 0.05,
        align_corners: bool = False,
        maximum_of: Maximum = "resized",
        weighted_draw: bool = True,
        clamp_boxes: bool = False,
        bounds: Bounds = "shares",
        two_views: bool = True,
        average: Average = "probabilities",
    ) -> None:
        super().__init__()
        check_word("average", average, get_args(Average))
        check_share("object_threshold", object_threshold)
        check_share("object_padding", object_padding)
        if maps < 0 or (maps == 0 and (regularisation or crop or drop or two_views)):
            raise ValueError(f"maps is {maps}; it must be 1 or more, or 0 where nothing asks for attention")
        inception = backbones.name == "inception_v3"
        if tap is None:
            tap = INCEPTION_FEATURES if inception else "final"
        if attention == "auto":
            attention = INCEPTION_ATTENTION if inception and tap == INCEPTION_FEATURES else "new"
        own = attention in ("new", "first") or maps == 0
        self.backbone = backbones.features([tap] if own else [tap, attention])
        channels, borrowed = self.backbone.channels[0], self.backbone.channels[-1]
        if attention != "new" and borrowed < maps:
            raise BackboneError(
                f"{attention!r} has {borrowed} channels, too few for {maps} attention maps; lower `maps`"
            )
        self.attend = attention_convolution(channels, maps) if attention == "new" and maps else None
        self.classifier = nn.Linear(max(maps, 1) * channels, num_classes, bias)
        fan_in = AUTHORS_FAN_IN if maps else channels
        nn.init.normal_(self.classifier.weight, std=math.sqrt(2 / fan_in))
        if bias:
            nn.init.zeros_(self.classifier.bias)
        self.centres = None
        if regularisation:
            self.centres = Centres(num_classes, maps * channels, normalised_centres, duplicates, centre_rate)
        self.seen: Seen | None = None
        """Feature matrices and labels of the raw images since the last `after_step`."""
        self.maps, self.maximum, self.scale, self.regularisation = maps, maximum, scale, regularisation
        self.crop, self.drop, self.average = crop, drop, average
        self.object_threshold, self.object_padding = object_threshold, object_padding
        self.further = AttentionViews(
            crop_threshold=crop_threshold,
            drop_threshold=drop_threshold,
            crop_padding=crop_padding,
            weighted_draw=weighted_draw,
            align_corners=align_corners,
            maximum_of=maximum_of,
            clamp_boxes=clamp_boxes,
            bounds=bounds,
        )
        self.views = 2 if two_views else 1

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One pass: logits `(B, K)`, feature matrix `(B, M·C)` and attention maps `(B, M, h, w)`.

        Without attention the matrix is the features' mean over positions, and the one map their mean over channels.
        """
        taps = self.backbone(images)
        features = taps[0]
        if self.maps == 0:
            pooled = features.mean(dim=(2, 3))
            return self.classifier(pooled), pooled, features.mean(dim=1, keepdim=True).relu()
        attention = taps[-1][:, : self.maps].relu() if self.attend is None else self.attend(features)
        if attention.shape[2:] != features.shape[2:]:
            attention = F.interpolate(attention, size=features.shape[2:], mode="bilinear", align_corners=False)
        matrix = bilinear_attention_pool(attention, features, self.maximum)
        return self.classifier(self.scale * matrix), matrix, attention

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy, averaged over the raw, cropped and dropped images, and the centre loss of the raw ones."""
        logits, matrix, attention = self.look(images)
        looks = {"raw": logits}
        for name, view in self.augmented(images, attention).items():
            looks[name] = self.look(view)[0]
        losses = {name: F.cross_entropy(logits, labels) / len(looks) for name, logits in looks.items()}
        if self.centres is not None:
            losses["centre"] = self.regularisation * self.centres(matrix, labels)
            self.seen = (matrix.detach(), labels)
        return losses

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """One step. If the runner splits a batch, all its parts pass through here before the centres move."""
        earlier = self.seen
        losses = self.losses(images, labels)
        self.seen = joined(earlier, self.seen)
        yield losses

    def augmented(self, images: Tensor, attention: Tensor) -> dict[str, Tensor]:
        """The images cropped to one part and with another dropped, each sample with its own draws."""
        views = {}
        if self.crop:
            views["crop"] = self.further.part_cropped(images, attention)
        if self.drop:
            views["drop"] = self.further.part_dropped(images, attention)
        return views

    @torch.no_grad()
    def after_step(self, gather: Gather = alone) -> None:
        """Moves the centres, by the features from which the step's loss was made."""
        if self.centres is not None and self.seen is not None:
            self.centres.update(*self.seen, gather)
            self.seen = None

    def forward(self, images: Tensor) -> Tensor:
        """Object localisation and refinement: logits, or with two views log-probabilities, `(B, K)`."""
        raw, _, attention = self.look(images)
        if self.views == 1:
            return raw
        refined = self.look(self.refine(images, attention))[0]
        if self.average == "logits":
            return (raw + refined) / 2
        return torch.logaddexp(*(at_least_float32(one).log_softmax(1) for one in (raw, refined))) - math.log(2)

    def refine(self, images: Tensor, attention: Tensor) -> Tensor:
        """The images cropped to the object: where the mean A_m of all maps is salient."""
        return self.further.object_cropped(images, attention, self.object_threshold, self.object_padding)

    def attention(self, images: Tensor) -> Tensor:
        """The attention maps A, `(B, M, h, w)`."""
        return self.look(images)[2]

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """What the second look sees; the strongest part cropped and dropped, θ in the middle of its range."""
        if self.maps == 0:
            return {}
        attention = self.look(images)[2]
        cropped, dropped = self.further.strongest_part(images, attention)
        return {"second look": self.refine(images, attention), "part cropped": cropped, "part dropped": dropped}
