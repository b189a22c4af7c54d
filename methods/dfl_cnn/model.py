"""DFL-CNN: beside the whole image, a bank of 1×1 filters learns the patches that distinguish the classes.

Wang, Morariu, Davis, "Learning a Discriminative Filter Bank within a CNN for Fine-grained Recognition", CVPR 2018
(arXiv 1611.09932).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.dfl_cnn.bank import FilterBank
from methods.dfl_cnn.initialise import calibrate, class_filters, peaks
from methods.interface import BackboneError, BackboneSource, Method, Tap

FADED = 0.15
"""Share of their contrast that pixels keep outside the patches that `explain` shows."""


class DFLCNN(Method):
    """Two asymmetric streams on one backbone (Section 3.1); a side branch supervises the filters (Section 3.2).

    Options:
        filters_per_class: k, 10 in the paper.
        global_stream, patch_stream: switch off the G-stream or the P-stream.
        side_weight: weight of the side branch in the loss and in the prediction; 0 switches it off.
        scales: number of filter banks, each on a map of twice the stride of the one before (2 in "2-scale").
        patch_tap: the first map with filters; None takes the last one before the network's last resolution
            (`last_but_one`): conv4_3 of VGG-16, layer3 of a ResNet.
        global_tap: the map that the G-stream classifies.
        global_head: `linear` on the mean over positions, or `bn_relu`, as in the public code.
        initialisation: of the filters, `kmeans` (Section 3.3) or `random`.
        peaks_per_image, window: non-maximum suppression of the initialisation, see `initialise.peaks`.
        whitened: whether the initial filters are decorrelated, see `initialise.whiten`.
        calibrated: whether the initial filters are scaled and shifted, see `initialise.calibrate`.
        reset_norms: reinitialise all batch norms, also pretrained ones, as the public code does.
    """

    soft_labels = True
    maps_of_class = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        filters_per_class: int = 10,
        global_stream: bool = True,
        patch_stream: bool = True,
        side_weight: float = 0.1,
        scales: int = 1,
        patch_tap: Tap | None = None,
        global_tap: Tap = "final",
        global_head: Literal["linear", "bn_relu"] = "linear",
        initialisation: Literal["kmeans", "random"] = "kmeans",
        peaks_per_image: int = 5,
        window: float = 0.2,
        whitened: bool = True,
        calibrated: bool = True,
        reset_norms: bool = False,
    ) -> None:
        super().__init__()
        if not (global_stream or patch_stream):
            raise ValueError("dfl_cnn needs a stream: set global_stream or patch_stream")
        if filters_per_class < 1 or scales < 1 or peaks_per_image < 1:
            raise ValueError("filters_per_class, scales and peaks_per_image must be 1 or more")
        if initialisation not in ("kmeans", "random") or global_head not in ("linear", "bn_relu"):
            raise ValueError("initialisation is kmeans or random, global_head is linear or bn_relu")
        patch_taps = _patch_taps(backbones, patch_tap, scales) if patch_stream else []
        self.backbone = backbones.features([*patch_taps, *([global_tap] if global_stream else [])])
        channels = self.backbone.channels
        self.banks: Any = nn.ModuleList(  # of FilterBank: ModuleList does not say of what it is a list
            FilterBank(channels[index], num_classes, filters_per_class) for index in range(len(patch_taps))
        )
        self.global_head = _global_head(channels[-1], num_classes, global_head) if global_stream else None
        self.weights = {"global": 1.0, "patch": 1.0, "side": side_weight}
        self.initialisation, self.whitened, self.calibrated = initialisation, whitened, calibrated
        self.peaks_per_image, self.window = peaks_per_image, window
        if reset_norms:
            _reset_norms(self)

    def streams(self, maps: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
        """Logits `(B, K)` of each classifier with its kind: `global`, `patch` or `side`.

        `maps` are the backbone's `(B, C, h, w)`: those of the filter banks, then the G-stream's.
        """
        found = [] if self.global_head is None else [("global", self.global_head(maps[-1]))]
        for bank, features in zip(self.banks, maps, strict=False):
            response = bank.detect(features)
            found.append(("patch", bank.classifier(response)))
            if self.weights["side"]:
                found.append(("side", bank.side(response)))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """G + P + 0.1 · side: the weights of the losses are those of the prediction too."""
        return self.combined(self.backbone(images))

    def combined(self, maps: Sequence[Tensor]) -> Tensor:
        """The weighted sum of all logits, `(B, K)`, from the backbone's maps."""
        return torch.stack([self.weights[kind] * logits for kind, logits in self.streams(maps)]).sum(dim=0)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of each classifier, weighted 1 : 1 : 0.1; those of several scales are added."""
        losses: dict[str, Tensor] = {}
        for kind, logits in self.streams(self.backbone(images)):
            loss = self.weights[kind] * F.cross_entropy(logits, labels)
            losses[kind] = losses[kind] + loss if kind in losses else loss
        return losses

    @torch.no_grad()
    def initialise(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Section 3.3: energy map, non-maximum suppression, k-means per class.

        Batch norms must be in evaluation mode, as they are when the runner calls this.
        """
        if self.initialisation == "random" or not self.banks:
            return
        found: list[list[tuple[Tensor, ...]]] = [[] for _ in self.banks]
        for images, labels in batches:
            for patches, features in zip(found, self.backbone(images), strict=False):
                vectors, exists = peaks(features, self.peaks_per_image, self.window)
                patches.append((vectors.cpu(), exists.cpu(), labels[:, None].expand_as(exists).cpu()))
        for bank, patches in zip(self.banks, found, strict=True):
            vectors, exists, classes = (torch.cat(parts) for parts in zip(*patches, strict=True))
            start = bank.filters.weight.cpu()
            filters = class_filters(vectors[exists], classes[exists], start, bank.shape, self.whitened)
            bias = torch.zeros(len(filters))
            if self.calibrated:
                filters, bias = calibrate(filters, vectors, exists)
            bank.filters.weight.copy_(filters)
            bank.filters.bias.copy_(bias)

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """What each stream and side branch predicts alone; those of several scales are numbered. One alone is none."""
        found = self.streams(self.backbone(images))
        if len(found) == 1:
            return {}
        kinds = [kind for kind, _ in found]
        names = [
            f"{kind} {kinds[: place + 1].count(kind)}" if kinds.count(kind) > 1 else kind
            for place, kind in enumerate(kinds)
        ]
        return dict(zip(names, (logits for _, logits in found), strict=True))

    def attention(self, images: Tensor) -> Tensor | None:
        """Positive responses of the predicted class's own k filters, `(B, k, h, w)`; None without a P-stream."""
        if not self.banks:
            return None
        maps = self.backbone(images)
        return self.banks[0].evidence(maps[0], self.combined(maps).argmax(dim=1)).clamp_min(0)

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The patches that the predicted class's own filters select; the rest fades to `FADED` of its contrast.

        A patch is a square around the position of a filter's largest response, as wide as the `window` in which the
        initialisation keeps one patch. What the filter sees, its receptive field, is larger in most networks.
        """
        if not self.banks:
            return {}
        maps = self.backbone(images)
        classes = self.combined(maps).argmax(dim=1)
        kept = torch.zeros_like(images[:, 0], dtype=torch.bool)
        for bank, features in zip(self.banks, maps, strict=False):
            kept |= patches(bank.evidence(features, classes), images.shape[2:], self.window)
        return {"selected patches": images * torch.where(kept, 1.0, FADED)[:, None]}


def patches(responses: Tensor, size: Sequence[int], side: float) -> Tensor:
    """Squares around the largest response of each map: `(B, k, h, w)` -> bool `(B, H, W)`, `size` being (H, W).

    `side` is theirs, as a share of the image's.
    """
    rows, columns = responses.shape[2:]
    place = responses.flatten(2).argmax(dim=2)
    near = [
        ((torch.arange(length, device=place.device) + 0.5) / length - (at[..., None] + 0.5) / cells).abs() <= side / 2
        for length, at, cells in ((size[0], place // columns, rows), (size[1], place % columns, columns))
    ]
    return (near[0][..., :, None] & near[1][..., None, :]).any(dim=1)


def last_but_one(backbones: BackboneSource) -> int:
    """Stride of the last map before the last resolution: 16 if a layer with parameters follows stride 16, else 8.

    A ResNet's last stage, like that of most networks, has stride 32. VGG's has stride 16, followed only by pooling.
    A network of one resolution, such as BEiT, has no map of stride 8; its filters use the map of stride 16.
    """

    def size(tap: Tap) -> int:
        return sum(p.numel() for m in [backbones.features([tap])] if isinstance(m, nn.Module) for p in m.parameters())

    if size("final") > size(16):
        return 16
    try:
        backbones.features([8])
    except BackboneError:
        return 16
    return 8


def _patch_taps(backbones: BackboneSource, first: Tap | None, scales: int) -> list[Tap]:
    """The maps that get filters."""
    first = last_but_one(backbones) if first is None else first
    if scales == 1:
        return [first]
    if not isinstance(first, int):
        raise ValueError(f"scales={scales} needs patch_tap to be a stride, not {first!r}")
    return [first * 2**scale for scale in range(scales)]


def _global_head(channels: int, num_classes: int, kind: str) -> nn.Module:
    """The G-stream's classifier: `(B, C, h, w)` -> `(B, K)`."""
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if kind == "linear":
        return nn.Sequential(*pool, nn.Linear(channels, num_classes))
    return nn.Sequential(nn.Conv2d(channels, num_classes, 1), nn.BatchNorm2d(num_classes), nn.ReLU(), *pool)


def _reset_norms(module: nn.Module) -> None:
    """Scales from N(1, 0.02), shifts 0, for every batch norm."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)
