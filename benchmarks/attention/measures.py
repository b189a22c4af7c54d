"""How well attention fits annotations, image by image. Everything stays on the device, without loops over images.

All measures are shares in 0 .. 1, or NaN if an image does not count: none of its parts is visible, or its box is
outside the frame. A map that is zero everywhere scores 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.attention.attention_maps import AttentionMaps, peaks
from benchmarks.attention.frame import Frame

CHUNK = 64
"""Images whose maps are enlarged to the input's size at the same time."""
THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Shares of a mean map's maximum from which a pixel belongs to the attention crop."""


def measure(attention: AttentionMaps, frame: Frame, threshold: float | None, same_maps: bool) -> dict[str, Tensor]:
    """Every measure that the annotations allow: name -> `(N,)`.

    `threshold` of the attention crop, or None to leave it out. `same_maps`: whether map k means the same on every
    image; only then can it have a part of its own.
    """
    active = attention.mean.amax(dim=(1, 2)) > 0
    points = peaks(attention.mean) * frame.size
    found: dict[str, Tensor] = {}
    if frame.parts is not None and frame.visible is not None:
        counted = frame.visible.any(dim=1)
        hits = on_parts(attention.peaks * frame.size, frame)
        found["peak_on_part"] = (on_parts(points[:, None], frame).any(dim=2)[:, 0] & active).float()
        found["maps_on_parts"] = _mean_where(hits.any(dim=2).float(), attention.strengths > 0).nan_to_num(0)
        if same_maps:
            found["own_part"] = own_part(hits, frame.visible, attention.strengths > 0)
        found["near_parts"] = _by_chunk(attention, frame, share_near_parts)
        found = {name: values.where(counted, torch.nan) for name, values in found.items()}
    if frame.boxes is not None:
        boxes = frame.boxes
        counted = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
        of_box = {
            "peak_in_box": (((points >= boxes[:, :2]) & (points < boxes[:, 2:])).all(dim=1) & active).float(),
            "in_box": _by_chunk(attention, frame, share_in_box),
        }
        if threshold is not None:
            of_box["crop_iou"] = crop_iou(attention, frame, threshold)
        found |= {name: values.where(counted, torch.nan) for name, values in of_box.items()}
    return found


def on_parts(points: Tensor, frame: Frame) -> Tensor:
    """Which visible parts the points `(N or 1, M, 2)`, in pixels, lie on: bool `(N, M, P)`."""
    assert frame.parts is not None
    assert frame.visible is not None
    away = (points[:, :, None] - frame.parts[:, None]) / frame.radii[:, None, None]
    return (away.square().sum(dim=3) <= 1) & frame.visible[:, None]


def ceiling(frame: Frame, height: int, width: int) -> Tensor:
    """Whether any cell of a map `(height, width)` has its centre on a visible part, bool `(N,)`: the upper bound of
    measures of peaks, which are at centres of cells."""
    return _cells_on_parts(frame, height, width).any(dim=1)


def of_random_cells(frame: Frame, height: int, width: int) -> dict[str, Tensor]:
    """What peaks at random cells of a map `(height, width)` score in the measures of peaks: name -> `(N,)`.

    Expected values, not draws: the share of the cells that would score. All cells are equally likely, so it doesn't
    matter how many peaks an image has, nor whether two may be at one cell.
    """
    found: dict[str, Tensor] = {}
    if frame.visible is not None:
        share = _cells_on_parts(frame, height, width).float().mean(dim=1)
        share = share.where(frame.visible.any(dim=1), torch.nan)
        found |= {"peak_on_part": share, "maps_on_parts": share}
    if frame.boxes is not None:
        cells, boxes = _cells(frame, height, width), frame.boxes[:, None]
        share = ((cells >= boxes[..., :2]) & (cells < boxes[..., 2:])).all(dim=2).float().mean(dim=1)
        found["peak_in_box"] = share.where(((boxes[..., 2:] - boxes[..., :2]) > 0).all(dim=2)[:, 0], torch.nan)
    return found


def own_part(hits: Tensor, visible: Tensor, active: Tensor) -> Tensor:
    """Share of an image's maps that hit their own part, among the maps whose own part is visible: `(N,)`.

    A map's own part is the one with the highest share of hits among the images where it is visible. It is chosen on
    the half of the images to which this one does not belong, never on the images that are scored. `hits` `(N, M, P)`,
    `visible` `(N, P)`, `active` `(N, M)`: whether a map is not zero everywhere.
    """
    hits = hits & active[:, :, None]
    result = torch.full((len(hits),), torch.nan, device=hits.device)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - half.start, None, 2)
        rate = hits[other].float().sum(dim=0) / visible[other].float().sum(dim=0)  # (M, P)
        own = rate.nan_to_num(-1).argmax(dim=1)
        result[half] = _mean_where(
            hits[half].gather(2, own[None, :, None].expand(len(hits[half]), -1, 1))[:, :, 0].float(),
            visible[half][:, own],
        )
    return result


def share_near_parts(weights: Tensor, frame: Frame) -> Tensor:
    """Share of maps `(N, S, S)` near a visible part: `(N,)`. A pixel near two parts counts once."""
    assert frame.parts is not None
    assert frame.visible is not None
    pixels = torch.arange(frame.size, device=weights.device) + 0.5
    near = torch.zeros_like(weights, dtype=torch.bool)
    for part, visible in zip(frame.parts.unbind(dim=1), frame.visible.unbind(dim=1), strict=True):
        away = ((pixels - part[:, :, None]) / frame.radii[:, :, None]).square()  # (N, 2, S): x, y
        near |= (away[:, 1, :, None] + away[:, 0, None, :] <= 1) & visible[:, None, None]
    return _share((weights * near).sum(dim=(1, 2)), weights)


def share_in_box(weights: Tensor, frame: Frame) -> Tensor:
    """Share of maps `(N, S, S)` within the boxes: `(N,)`. A pixel on the border counts by its part inside."""
    assert frame.boxes is not None
    pixel = torch.arange(frame.size, device=weights.device)
    left, top, right, bottom = frame.boxes[:, :, None].unbind(dim=1)
    across = (torch.minimum(right, pixel + 1) - torch.maximum(left, pixel)).clamp(0, 1)
    down = (torch.minimum(bottom, pixel + 1) - torch.maximum(top, pixel)).clamp(0, 1)
    return _share(torch.einsum("nyx,ny,nx->n", weights, down, across), weights)


def crop_iou(attention: AttentionMaps, frame: Frame, threshold: float) -> Tensor:
    """IoU of each box and the attention crop: `(N,)`, 0 for a map that is zero everywhere."""

    def of_chunk(weights: Tensor, frame: Frame) -> Tensor:
        assert frame.boxes is not None
        return box_iou(crop_boxes(weights, threshold), frame.boxes)

    return _by_chunk(attention, frame, of_chunk)


def crop_boxes(weights: Tensor, threshold: float) -> Tensor:
    """The attention crop: boxes around where maps `(N, S, S)` reach `threshold` of their maximum.

    `(N, 4)` left, top, right, bottom in pixels; without area for a map that is zero everywhere.
    """
    region = (weights >= threshold * weights.amax(dim=(1, 2), keepdim=True)) & (weights > 0)
    (left, right), (top, bottom) = _ends(region.any(dim=1)), _ends(region.any(dim=2))
    return torch.stack([left, top, right, bottom], dim=1)


def best_threshold(attention: AttentionMaps, frame: Frame) -> float:
    """The threshold whose attention crops have the highest mean IoU with the boxes. Not for test images."""
    means = torch.stack([crop_iou(attention, frame, threshold).nanmean() for threshold in THRESHOLDS])
    return THRESHOLDS[int(means.argmax())]


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of the boxes `(N, 4)` row by row: `(N,)`, 0 if neither has an area."""
    sides = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp_min(0)
    shared = sides.prod(dim=1)
    union = sum((box[:, 2:] - box[:, :2]).prod(dim=1) for box in (first, second)) - shared
    return torch.where(union > 0, shared / union, 0)


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps `(N, h, w)` enlarged bilinearly to `(N, size, size)`."""
    return F.interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def _cells(frame: Frame, height: int, width: int) -> Tensor:
    """Centres of the cells of a map `(height, width)`, in pixels x, y: `(height * width, 2)`."""
    down = (torch.arange(height, device=frame.radii.device) + 0.5) * frame.size / height
    across = (torch.arange(width, device=frame.radii.device) + 0.5) * frame.size / width
    return torch.stack([across.repeat(height), down.repeat_interleave(width)], dim=1)


def _cells_on_parts(frame: Frame, height: int, width: int) -> Tensor:
    """Whether the centre of each cell is on a visible part: bool `(N, height * width)`."""
    cells = _cells(frame, height, width)[None]
    parts = [slice(start, start + CHUNK) for start in range(0, len(frame.radii), CHUNK)]
    return torch.cat([on_parts(cells, frame.rows(part)).any(dim=2) for part in parts])


def _by_chunk(attention: AttentionMaps, frame: Frame, of_chunk: Callable[[Tensor, Frame], Tensor]) -> Tensor:
    parts = [slice(start, start + CHUNK) for start in range(0, len(attention), CHUNK)]
    return torch.cat([of_chunk(enlarged(attention.mean[part], frame.size), frame.rows(part)) for part in parts])


def _share(within: Tensor, weights: Tensor) -> Tensor:
    return within / weights.sum(dim=(1, 2)).clamp_min(torch.finfo(weights.dtype).tiny)


def _mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of `(N, M)` over the places that count: `(N,)`; NaN if there is none."""
    return values.where(counted, 0).sum(dim=1) / counted.sum(dim=1)


def _ends(hits: Tensor) -> tuple[Tensor, Tensor]:
    """Start of the first and end of the last true place in each row of `(N, S)`; 0 and 0 for none."""
    places = torch.arange(hits.shape[1], device=hits.device)
    first = torch.where(hits, places, hits.shape[1]).amin(dim=1)
    last = torch.where(hits, places + 1, 0).amax(dim=1)
    return torch.minimum(first, last).float(), last.float()
