"""How well a method's attention fits what is annotated, as a record stores it; all are shares in 0 .. 1."""

from __future__ import annotations

from results.speed import RecordModel

MEASURES = {
    "peak_on_part": "the mean map's peak is on a visible part (pointing game)",
    "maps_on_parts": "share of an image's maps whose own peak is on a visible part",
    "own_part": "share of an image's maps whose peak is on the part that this map hits most often in other images",
    "near_parts": "share of the mean map that is on visible parts",
    "peak_in_box": "the mean map's peak is in the object's box (pointing game)",
    "in_box": "share of the mean map that is in the object's box",
    "crop_iou": "intersection over union of the object's box and the box around the thresholded mean map",
}
"""Name of each measure -> its description; higher is better."""


class Estimate(RecordModel):
    """A mean over test images, with its 95 % percentile bootstrap interval over them."""

    value: float
    low: float
    high: float
    images: int
    """Images that count."""


class PartHits(RecordModel):
    """How often attention points at one annotated part."""

    visible: int
    """Test images in which the part is visible to the network."""
    hit: float
    """Share of these whose mean map has its peak on the part."""
    centre: float
    """Share of these in which the middle of the image is on the part."""


class Localisation(RecordModel):
    """How well a method's attention fits annotated parts and boxes on the whole test set, by `run_all.py attention`.

    `scores` and what follows have the names of `MEASURES`. `random` and `over_random` have those of peaks alone, and
    are empty in older records.
    """

    images: int
    blank: int
    """Images whose maps are zero everywhere; they score 0."""
    maps: int
    """Attention maps per image."""
    map_size: tuple[int, int]
    """Height and width of a map, cells."""
    ceiling: float | None = None
    """Share of the images in which a peak at the best cell would be on a part; None without parts."""
    tolerance: float
    """Share of the object's longer side within which a point is on a part."""
    crop_threshold: float | None = None
    """Share of a mean map's maximum that bounds the attention crop; chosen on images that are not tested on."""
    box_share: float | None = None
    """Mean share of the network's input that the boxes cover."""
    scores: dict[str, Estimate]
    centre: dict[str, Estimate]
    """Of a Gaussian about the middle of the image: what is reached without using the image."""
    elsewhere: dict[str, Estimate]
    """Of the same maps, each scored against another test image's annotations: what is not due to the image itself."""
    over_centre: dict[str, Estimate]
    """Score minus that of the centre, image by image."""
    random: dict[str, Estimate] = {}
    """Of peaks at random cells of a map of the same size: their expected score, every cell being equally likely."""
    over_random: dict[str, Estimate] = {}
    """Score minus that of random cells, image by image."""
    parts: dict[str, PartHits] = {}
