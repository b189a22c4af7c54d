"""Whether a box can be one: in pixels, with an area, within its image."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.curation.findings import Finding
from datasets.interface import Dataset, DatasetError

SLACK = 1.0
"""Pixels that a box may reach beyond its image: some tables count from 1, others round."""


class UnusableBoxes(DatasetError):  # noqa: N818 - clear without the suffix Error
    """Something can't be measured, because boxes are no boxes."""


def box_fault(box: Sequence[float], height: int, width: int) -> Finding | None:
    """What is wrong with x, y, width, height (pixels) of a box in an image of this size; None if nothing is.

    Kinds: `negative` or `empty` sides, `fraction` (of the image, in place of pixels), `outside` of the image
    altogether, and `beyond` its border by more than a pixel.
    """
    x, y, box_width, box_height = box
    shown = ", ".join(f"{value:g}" for value in box)
    if min(box_width, box_height) < 0:
        return Finding("negative", f"box {shown} has a negative side")
    if min(box_width, box_height) == 0:
        return Finding("empty", f"box {shown} is empty")
    if max(map(abs, box)) <= 1:
        return Finding("fraction", f"box {shown} is a fraction of the image and not in pixels")
    right, bottom = x + box_width, y + box_height
    if right <= 0 or bottom <= 0 or x >= width or y >= height:
        return Finding("outside", f"box {shown} is outside the image ({width} × {height})")
    if min(x, y) < -SLACK or right > width + SLACK or bottom > height + SLACK:
        return Finding("beyond", f"box {shown} ends beyond the image ({width} × {height})")
    return None


def require_usable(dataset: Dataset, rows: Sequence[int], sizes: Sequence[Sequence[int]]) -> None:
    """Raises `UnusableBoxes` if a box of `rows` has no area within its image; `sizes`: height and width of each image.

    A box that ends beyond its image is cut at the border by whoever uses it, as in NABirds.
    """
    if dataset.boxes is None:
        return
    found = [(row, box_fault(dataset.boxes[row].tolist(), *size)) for row, size in zip(rows, sizes, strict=True)]
    faulty = [(row, fault) for row, fault in found if fault is not None and fault.kind != "beyond"]
    if faulty:
        row, fault = faulty[0]
        raise UnusableBoxes(
            f"{len(faulty)} of {len(found)} boxes can't be used ({dataset.paths[row]}: {fault.what}); "
            f"correct them: data verify {dataset.name} names each"
        )
