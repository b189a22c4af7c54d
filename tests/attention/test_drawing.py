"""Sheets of a gallery: what is written stands beside the pictures, not on them."""

from __future__ import annotations

import numpy as np

from benchmarks.attention.drawing import FRAME, GAP, LINE, Row, Tile, sheet

SIDE = 96


def test_captions_and_frames_cover_no_picture() -> None:
    pictures = [np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in (40, 120, 200)]
    tiles = [Tile(picture, "a caption of many words", framed=place == 1) for place, picture in enumerate(pictures)]
    pixels = np.asarray(sheet(["a heading"], [Row("a row", tiles), Row("another", tiles)], SIDE))
    top = LINE + GAP + LINE + GAP
    for place, picture in enumerate(pictures):
        left = GAP + place * (SIDE + GAP)
        assert (pixels[top : top + SIDE, left : left + SIDE] == picture).all()
    below = pixels[top + SIDE + FRAME : top + SIDE + FRAME + LINE]
    assert (below < 100).any(), "the captions"
    assert (pixels[top + SIDE // 2, GAP + SIDE + GAP - FRAME] != 255).any(), "the frame around the second"
