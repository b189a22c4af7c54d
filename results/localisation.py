"""How well a method's attention fits what is annotated, as a record stores it; all are shares in 0 .. 1."""

from __future__ import annotations

from results.speed import RecordModel


class Estimate(RecordModel):
    """A mean over test images, with its 95 % percentile bootstrap interval over them."""

    value: float
    low: float
    high: float
    images: int
    """That count for it."""


class PartHits(RecordModel):
    """How often attention points at one annotated part."""

    visible: int
    """Test images in which the part is visible to the network."""
    hit: float
    """Share of these whose mean map has its peak on the part."""
    centre: float
    """Share of these on whose part the middle of the image lies."""


class Localisation(RecordModel):
    """How well a method's attention fits annotated parts and boxes on the whole test set, by `run_all.py attention`.

    The names of the measures are those of `benchmarks.attention.measures`; all are shares, higher is better.
    """

    images: int
    blank: int
    """Images whose maps are zero everywhere; they score 0."""
    maps: int
    """Attention maps per image."""
    map_size: tuple[int, int]
    """Height and width of a map, cells."""
    ceiling: float | None = None
    """Share of the images that a peak at the best of all cells could reach a part of; without parts, nothing."""
    tolerance: float
    """Share of the object's longer side within which a point is on a part."""
    crop_threshold: float | None = None
    """Share of a mean map's maximum that bounds the attention crop; chosen on images that are not tested on."""
    box_share: float | None = None
    """Mean share of the network's input that the boxes cover."""
    scores: dict[str, Estimate]
    centre: dict[str, Estimate]
    """Of a Gaussian about the middle of the image: what can be had without looking."""
    elsewhere: dict[str, Estimate]
    """Of the same maps, each judged by another test image's annotations: what owes nothing to the image itself."""
    over_centre: dict[str, Estimate]
    """Score minus that of the centre, image by image."""
    parts: dict[str, PartHits] = {}
