"""Tiles of a gallery: photos with their annotations, heat maps over them, and sheets of captioned tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import matplotlib
import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TILE = 176
"""Side of a tile with a whole image, in pixels."""
GAP, FRAME = 6, 2
"""Pixels between tiles, and of the frame that stands in the gap around one."""
TEXT = 13
LINE = TEXT + 6
BOX, CROP, PART, PEAK = "#E69F00", "#009E73", "#56B4E9", "#FFFFFF"
"""Colours of Okabe & Ito; each mark also has its own shape."""
PARTS_ARM = 3
PEAK_RADIUS = 6
HEAT = "inferno"
OPACITY = 0.75
"""Opacity of the highest attention."""

Pixels = NDArray[np.uint8]
"""(H, W, 3)"""


@dataclass(frozen=True)
class Tile:
    """An image with a caption below it."""

    pixels: Pixels
    caption: str = ""
    framed: bool = False
    """Whether it has a frame around it, which marks a wrong prediction."""


@dataclass(frozen=True)
class Row:
    """Tiles side by side under a caption."""

    caption: str
    tiles: Sequence[Tile]


@dataclass
class Marks:
    """What is drawn on a tile; coordinates are shares of the image's sides."""

    box: Sequence[float] | None = None
    """left, top, right, bottom"""
    crop: Sequence[float] | None = None
    parts: Sequence[Sequence[float]] = field(default_factory=list)
    peak: Sequence[float] | None = None


def heat(photo: Pixels, attention: NDArray[np.float32]) -> Pixels:
    """A map `(h, w)` over a grey photo: transparent where it is 0, with opacity `OPACITY` at its maximum."""
    side = (photo.shape[1], photo.shape[0])
    grown = np.asarray(Image.fromarray(attention.astype(np.float32)).resize(side, Image.Resampling.BILINEAR))
    strength = (grown / max(float(attention.max()), np.finfo(np.float32).tiny)).clip(0, 1)
    colour = 255 * matplotlib.colormaps[HEAT](strength)[..., :3]
    grey = photo.mean(axis=2, keepdims=True).repeat(3, axis=2)
    opacity = OPACITY * strength[..., None]
    return (grey * (1 - opacity) + colour * opacity).astype(np.uint8)


def marked(photo: Pixels, marks: Marks) -> Pixels:
    """The photo, resized to a tile, with its marks: boxes, crosses for parts, a ring for the peak."""
    image = Image.fromarray(photo).resize((TILE, TILE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for box, colour in ((marks.box, BOX), (marks.crop, CROP)):
        if box is not None:
            left, top, right, bottom = (TILE * end for end in box)
            corners = (min(left, TILE - 2), min(top, TILE - 2), max(right, left + 1) - 1, max(bottom, top + 1) - 1)
            draw.rectangle(corners, outline=colour, width=2)
    for x, y in marks.parts:
        _cross(draw, TILE * x, TILE * y)
    if marks.peak is not None:
        x, y = (TILE * place for place in marks.peak)
        for radius, colour in ((PEAK_RADIUS + 1, "black"), (PEAK_RADIUS, PEAK)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    return np.asarray(image)


def sheet(heading: Sequence[str], rows: Sequence[Row], tile: int = TILE) -> Image.Image:
    """The lines of the heading, then the rows; tiles are `tile` pixels wide. No text or frame covers a picture."""
    columns = max(len(row.tiles) for row in rows)
    font = _font()
    caption = max(font.getlength(line) for line in (*heading, *(row.caption for row in rows)))
    width = max(columns * (tile + GAP) + GAP, int(caption) + 2 * GAP)
    height = len(heading) * LINE + sum(_height(row, tile) for row in rows) + 2 * GAP
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    y = GAP
    for line in heading:
        draw.text((GAP, y), line, "#222222", font)
        y += LINE
    for row in rows:
        draw.text((GAP, y + GAP), row.caption, "black", font)
        for place, one in enumerate(row.tiles):
            _put(image, draw, one, tile, (GAP + place * (tile + GAP), y + LINE + GAP))
        y += _height(row, tile)
    return image


def _height(row: Row, tile: int) -> int:
    """Of its caption, its tiles, the captions below these, and the gap to the next row."""
    return LINE + tile + LINE * any(one.caption for one in row.tiles) + 3 * GAP


def _put(image: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, side: int, corner: tuple[int, int]) -> None:
    own = Image.fromarray(tile.pixels)
    if own.size != (side, side):
        own = own.resize((side, side), Image.Resampling.BICUBIC)
    image.paste(own, corner)
    x, y = corner
    if tile.caption:
        draw.text((x, y + side + GAP), next(_shortened(tile.caption, side)), "#222222", _font())
    if tile.framed:
        draw.rectangle(
            (x - FRAME, y - FRAME, x + side + FRAME - 1, y + side + FRAME - 1), outline="#D55E00", width=FRAME
        )


def _shortened(caption: str, width: float) -> Iterator[str]:
    """The beginnings of `caption` that fit, the longest first."""
    for length in range(len(caption), 0, -1):
        cut = caption if length == len(caption) else caption[: length - 1] + "…"
        if _font().getlength(cut) <= width:
            yield cut


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    for arm, colour, width in ((PARTS_ARM + 1, "black", 4), (PARTS_ARM, PART, 2)):
        draw.line((x - arm, y, x + arm, y), colour, width)
        draw.line((x, y - arm, x, y + arm), colour, width)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: available on every machine, with letters of most languages."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), TEXT)
