"""CAL: attention is taught by what it adds to a prediction that is made with wrong attention.

Rao, Chen, Lu, Zhou, "Counterfactual Attention Learning for Fine-Grained Visual Categorization and Re-identification",
ICCV 2021, arXiv 2108.08728. Views and weights of losses, which the paper does not give, are those of the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Gather, Method, Tap, alone
from methods.ops.attention.centres import Centres, Duplicates, Seen, joined
from methods.ops.attention.pooling import attention_convolution, bilinear_attention_pool
from methods.ops.attention.views import AttentionViews
from methods.ops.options import check_word

Counterfactual = Literal["random", "uniform", "reversed", "shuffled", "zero", "none"]
"""The wrong attention Ā; see `CAL.wrong_attention`. `none`: no counterfactual, and so no effect in the loss."""

EPSILON = 1e-6
"""Under the root of the pooled features, as in the authors' code."""

AUTHORS_FAN_IN = 32 * 2048
"""Entries of the authors' feature matrix, by which their classifier's initial weights are scaled (PyTorch's default).
The matrix has length 100 whatever its size, so the scale is fixed here, as in WS-DAN."""

SECOND_LOOK = (0.1, 0.05)
"""Threshold and padding of the object's crop in the headline, as the authors evaluate while they train."""
CROPS = ((0.3, 0.1), (0.2, 0.1), SECOND_LOOK)
"""Those of the three crops of the eight views, as in the authors' `infer.py`."""


class Look(NamedTuple):
    """What one pass sees of a batch of images."""

    features: Tensor
    """X `(B, C, h, w)`."""
    attention: Tensor
    """A `(B, M, h, w)`."""
    h: Tensor
    """The representation `(B, M·C)`, of length 1 (Eq. 3)."""


class CAL(Method):
    """Multi-head attention as in WS-DAN; the effect Y(A, X) - Y(Ā, X) of its maps must classify too.

    Options:
        tap: where the features X are taken.
        maps: M.
        counterfactual: Ā, see `Counterfactual`.
        scale: of the representation h, before the classifier.
        bias: of the classifier. The effect has none: it cancels.
        regularisation: weight of the centre loss; with 0 there are no centres.
        normalised_centres, duplicates, centre_rate: see `Centres`.
        crop_threshold, drop_threshold, crop_padding: see `AttentionViews`.
    """

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        tap: Tap = "final",
        maps: int = 32,
        counterfactual: Counterfactual = "random",
        scale: float = 100.0,
        bias: bool = False,
        regularisation: float = 1.0,
        normalised_centres: bool = True,
        duplicates: Duplicates = "all",
        centre_rate: float = 0.05,
        crop_threshold: Sequence[float] = (0.4, 0.6),
        drop_threshold: Sequence[float] = (0.2, 0.5),
        crop_padding: float = 0.1,
    ) -> None:
        super().__init__()
        check_word("counterfactual", counterfactual, get_args(Counterfactual))
        if maps < 1:
            raise ValueError(f"maps is {maps}; it must be 1 or more")
        self.further = AttentionViews(
            crop_threshold=crop_threshold,
            drop_threshold=drop_threshold,
            crop_padding=crop_padding,
            align_corners=True,
            maximum_of="cells",
            clamp_boxes=True,
            bounds="pixels",
        )
        self.backbone = backbones.features([tap])
        (channels,) = self.backbone.channels
        self.attend = attention_convolution(channels, maps)
        self.classifier = nn.Linear(maps * channels, num_classes, bias)
        for parameter in self.classifier.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(AUTHORS_FAN_IN), 1 / math.sqrt(AUTHORS_FAN_IN))
        self.centres = None
        if regularisation:
            self.centres = Centres(num_classes, maps * channels, normalised_centres, duplicates, centre_rate)
        self.seen: Seen | None = None
        """Representations and labels of the raw images since the last `after_step`."""
        self.counterfactual, self.scale, self.regularisation = counterfactual, scale, regularisation
        self.views = 2
        self.readout_views = {"one_view": 1, "eight_views": 8}
        if counterfactual != "none":
            self.readout_views |= {"effect": 2}

    # ---- the network

    def look(self, images: Tensor) -> Look:
        """One pass over images `(B, 3, H, W)`."""
        (features,) = self.backbone(images)
        attention = self.attend(features)
        return Look(features, attention, self.represent(attention, features))

    def represent(self, attention: Tensor, features: Tensor) -> Tensor:
        """h: parts pooled with the maps (Eq. 2), rooted, concatenated and normalised together (Eq. 3)."""
        return bilinear_attention_pool(attention, features, epsilon=EPSILON)

    def classify(self, h: Tensor) -> Tensor:
        """The classifier C: representations `(B, M·C)` -> logits `(B, K)`."""
        return self.classifier(self.scale * h)

    def effect(self, seen: Look) -> Tensor:
        """What the maps add, Y(A, X) - Y(do(A = Ā), X), `(B, K)`.

        C is linear, so the difference is that of the representations, classified once. Taken before the product, it is
        not rounded with the two predictions, which under autocast would leave few of its digits.
        """
        wrong = self.represent(self.wrong_attention(seen.attention), seen.features)
        return F.linear(self.scale * (seen.h - wrong), self.classifier.weight)

    def wrong_attention(self, attention: Tensor) -> Tensor:
        """Ā `(B, M, h, w)` (supplement B): drawn from U(0, 2); each sample's mean; its maximum minus its maps; maps of
        other samples of the batch. `zero` is ours: nothing is subtracted, so the loss only has one more term.

        What is drawn in training is 1 in evaluation, as in the authors' code: the mean of U(0, 2).
        """
        match self.counterfactual:
            case "uniform":
                return attention.mean(dim=(1, 2, 3), keepdim=True).expand_as(attention)
            case "reversed":
                return attention.amax(dim=(1, 2, 3), keepdim=True) - attention
            case "zero":
                return torch.zeros_like(attention)
        if not self.training:
            return torch.ones_like(attention)
        if self.counterfactual == "shuffled":
            return attention[torch.rand(len(attention), device=attention.device).argsort()]
        return 2 * torch.rand_like(attention)

    # ---- training

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of all views' predictions and of their effects, and the centre loss of the raw images.

        The cropped and dropped images are one batch, so batch norm sees them together.
        """
        seen = self.look(images)
        parts = self.further.part_cropped(images, seen.attention), self.further.part_dropped(images, seen.attention)
        further = self.look(torch.cat(parts))
        raw, augmented = self.classify(torch.cat([seen.h, further.h])).tensor_split([len(images)])
        losses = {
            "raw": F.cross_entropy(raw, labels) / 3,
            "crop and drop": F.cross_entropy(augmented, labels.repeat(2)) * 2 / 3,
        }
        if self.counterfactual != "none":
            effects = torch.cat([self.effect(seen), self.effect(further)])
            losses["effect"] = F.cross_entropy(effects, labels.repeat(3))
        if self.centres is not None:
            losses["centre"] = self.regularisation * self.centres(seen.h, labels)
            self.seen = (seen.h.detach(), labels)
        return losses

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """One step. If the runner splits a batch, all its parts pass through here before the centres move."""
        earlier = self.seen
        losses = self.losses(images, labels)
        self.seen = joined(earlier, self.seen)
        yield losses

    @torch.no_grad()
    def after_step(self, gather: Gather = alone) -> None:
        """Moves the centres, by the representations from which the step's loss was made."""
        if self.centres is not None and self.seen is not None:
            self.centres.update(*self.seen, gather)
            self.seen = None

    # ---- prediction

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, K)`, the mean of those of the image and of its crop to the object."""
        seen = self.look(images)
        refined = self.look(self.second_look(images, seen.attention))
        return (self.classify(seen.h) + self.classify(refined.h)) / 2

    def second_look(self, images: Tensor, attention: Tensor) -> Tensor:
        """The images cropped to the object: where the mean of all maps is salient."""
        return self.further.object_cropped(images, attention, *SECOND_LOOK)

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """The image alone; the mean of eight views, which the paper reports; the effect of the headline's two views.

        The eight views are the image and three crops to the object, and the same of the mirrored image.
        """
        looks = self.four_looks(images)
        eight = [*looks, *self.four_looks(images.flip(3))]
        logits = {
            "one_view": self.classify(looks[0].h),
            "eight_views": torch.stack([self.classify(seen.h) for seen in eight]).mean(dim=0),
        }
        if self.counterfactual != "none":
            logits["effect"] = (self.effect(looks[0]) + self.effect(looks[-1])) / 2
        return logits

    def four_looks(self, images: Tensor) -> list[Look]:
        """At the images and at their three crops to the object; the last is the second look of the headline."""
        whole = self.look(images)
        crops = (self.further.object_cropped(images, whole.attention, *crop) for crop in CROPS)
        return [whole, *map(self.look, crops)]

    def attention(self, images: Tensor) -> Tensor:
        """The attention maps A, `(B, M, h, w)`."""
        return self.look(images).attention

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """What the second look sees; the strongest part cropped and dropped, θ in the middle of its range."""
        attention = self.look(images).attention
        cropped, dropped = self.further.strongest_part(images, attention)
        return {"second look": self.second_look(images, attention), "part cropped": cropped, "part dropped": dropped}
