"""The further views of an image that its attention maps lead to: a part cropped, a part dropped, the object.

WS-DAN's attention-guided augmentation and its second look (arXiv 1901.09891, Sections 3.3 and 3.4), as CAL uses them
too. Each view is an image `(B, 3, H, W)` again; none carries a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from methods.ops.attention import crops
from methods.ops.attention.crops import Bounds, Maximum
from methods.ops.options import check_share, check_word
from methods.ops.precision import at_least_float32


@dataclass(frozen=True)
class AttentionViews:
    """How maps become views. Raises `ValueError` where a setting means nothing."""

    crop_threshold: Sequence[float] = (0.4, 0.6)
    """Range of θ_c, a share of the map's maximum, from which each sample draws its own."""
    drop_threshold: Sequence[float] = (0.2, 0.5)
    """Range of θ_d."""
    crop_padding: float = 0.1
    """Share of the image's sides added around a cropped part."""
    weighted_draw: bool = True
    """Whether a part is drawn in proportion to the strength of its map, or uniformly; see `choose_maps`."""
    align_corners: bool = False
    """How a map is resized to the image; see `salient`."""
    maximum_of: Maximum = "resized"
    """Of which maximum a threshold is a share."""
    clamp_boxes: bool = False
    """Whether boxes end at the image's edge, or the outside is filled with 0."""
    bounds: Bounds = "shares"
    """How boxes are rounded."""

    def __post_init__(self) -> None:
        for name, known in {"maximum_of": Maximum, "bounds": Bounds}.items():
            check_word(name, getattr(self, name), get_args(known))
        check_share("crop_padding", self.crop_padding)
        for span in (self.crop_threshold, self.drop_threshold):
            if len(span) != 2 or not 0 <= span[0] <= span[1] <= 1:
                raise ValueError(
                    f"a range of thresholds is {list(span)}; it must be two numbers from 0 to 1, the smaller first"
                )

    @torch.no_grad()
    def part_cropped(self, images: Tensor, attention: Tensor) -> Tensor:
        """The images `(B, 3, H, W)`, each cropped to a part drawn from its maps `(B, M, h, w)`."""
        return self.cropped(images, self.drawn_map(attention), drawn_threshold(images, self.crop_threshold))

    @torch.no_grad()
    def part_dropped(self, images: Tensor, attention: Tensor) -> Tensor:
        """The images, each with a part hidden that is drawn from its maps."""
        return self.dropped(images, self.drawn_map(attention), drawn_threshold(images, self.drop_threshold))

    @torch.no_grad()
    def strongest_part(self, images: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """The images cropped to the strongest part, and with it hidden, θ in the middle of its range. No draws."""
        strongest = at_least_float32(attention).mean(dim=(2, 3)).argmax(dim=1)
        part = attention[torch.arange(len(images), device=images.device), strongest]
        crop, drop = (sum(span) / 2 for span in (self.crop_threshold, self.drop_threshold))
        return self.cropped(images, part, crop), self.dropped(images, part, drop)

    @torch.no_grad()
    def object_cropped(self, images: Tensor, attention: Tensor, threshold: float, padding: float) -> Tensor:
        """The images cropped to the object: where the mean of all maps is salient."""
        return self.cropped(images, at_least_float32(attention).mean(dim=1), threshold, padding)

    def cropped(self, images: Tensor, maps: Tensor, threshold: Tensor | float, padding: float | None = None) -> Tensor:
        """The images cropped to where one map of each, `(B, h, w)`, is salient."""
        padding = self.crop_padding if padding is None else padding
        region = self.region(images, maps, threshold)
        boxes = crops.bounding_boxes(region, padding, self.clamp_boxes, self.bounds)
        return crops.crop(images, boxes)

    def dropped(self, images: Tensor, maps: Tensor, threshold: Tensor | float) -> Tensor:
        """The images without what is salient."""
        return crops.drop(images, self.region(images, maps, threshold))

    def region(self, images: Tensor, maps: Tensor, threshold: Tensor | float) -> Tensor:
        """Where a map of each image is salient, bool `(B, H, W)`."""
        size = (images.shape[2], images.shape[3])
        return crops.salient(maps, size, threshold, self.align_corners, self.maximum_of)

    def drawn_map(self, attention: Tensor) -> Tensor:
        """One map of each sample: `(B, M, h, w)` -> `(B, h, w)`."""
        uniform = torch.rand(attention.shape[:2], device=attention.device)
        return crops.choose_maps(attention, uniform, self.weighted_draw)


def drawn_threshold(images: Tensor, span: Sequence[float]) -> Tensor:
    """θ of each sample, `(B,)`, uniform in `span`."""
    low, high = span
    return low + (high - low) * torch.rand(len(images), device=images.device)
