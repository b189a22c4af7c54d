"""How thin an image may be: a bound on what resizing it may allocate, and on its distortion if it is squashed."""

from __future__ import annotations

MOST = 16
"""The longer side, in shorter sides. Resized to a shorter side of s pixels, an image has at most MOST · s² pixels,
and a batch, padded to its largest image, takes at most MOST times the memory of square images. Panoramas are 4 to 10
times as long as they are high."""


def thin(height: int, width: int) -> str | None:
    """Why an image of this size is refused, to follow its name; None if it isn't."""
    if max(height, width) <= MOST * min(height, width):
        return None
    return (
        f"is {width} × {height} pixels, its longer side more than {MOST} times the shorter; "
        "crop it or remove it from the dataset"
    )
