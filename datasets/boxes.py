"""What a box is: in pixels, with an area, within its image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

SLACK = 1.0
"""Pixels that a box may reach beyond its image: some tables count from 1, others round."""


class BoxFault(NamedTuple):
    """Why a box can't be one."""

    kind: str
    """`negative` or `empty` sides, `fraction` (of the image, in place of pixels), `outside` of the image altogether, or
    `beyond` its border by more than a pixel."""
    what: str
    """In words, with the box."""


def box_fault(box: Sequence[float], height: float = math.inf, width: float = math.inf) -> BoxFault | None:
    """What is wrong with x, y, width, height (pixels) of a box in an image of this size; None if nothing is.

    Without the size, what shows without it.
    """
    x, y, box_width, box_height = box
    shown = ", ".join(f"{value:g}" for value in box)
    size = "" if math.inf in (height, width) else f" ({width} × {height})"
    if min(box_width, box_height) < 0:
        return BoxFault("negative", f"box {shown} has a negative side")
    if min(box_width, box_height) == 0:
        return BoxFault("empty", f"box {shown} is empty")
    if max(map(abs, box)) <= 1:
        return BoxFault("fraction", f"box {shown} is a fraction of the image and not in pixels")
    right, bottom = x + box_width, y + box_height
    if right <= 0 or bottom <= 0 or x >= width or y >= height:
        return BoxFault("outside", f"box {shown} is outside the image{size}")
    if min(x, y) < -SLACK or right > width + SLACK or bottom > height + SLACK:
        return BoxFault("beyond", f"box {shown} ends beyond the image{size}")
    return None
