"""Fills and blends shapes in integers, so that an image has the same bytes on every machine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Polygon = NDArray[np.float64]
"""(n, 2) corners x, y; the last is connected to the first."""
Point = tuple[float, float]


class Layer(NamedTuple):
    """A filled shape; `inside` clips it to the layer of that name."""

    polygon: Polygon
    colour: Colour
    name: str = ""
    inside: str = ""


FULL = 1024
"""Coverage of a pixel that is entirely inside: 4 scan lines of 256 steps."""


def coverage(polygon: Polygon, size: int) -> NDArray[np.int32]:
    """(size, size) the covered area of each pixel, 0 .. `FULL`.

    With four scan lines per pixel. Each crossing of a scan line with an edge adds the exact covered share of its pixel;
    a running sum along the row fills the space between crossings. Corners are rounded to 1/256 pixel; everything else
    is in integers.
    """
    corner = np.floor(polygon * 256 + 0.5).astype(np.int64)
    start, end = corner, np.roll(corner, -1, axis=0)
    down = start[:, 1] <= end[:, 1]
    upper, lower = np.where(down[:, None], start, end), np.where(down[:, None], end, start)
    first = ((upper[:, 1] + 31) >> 6).clip(0, size * 4)
    count = ((lower[:, 1] + 31) >> 6).clip(0, size * 4) - first
    edge = np.repeat(np.arange(len(corner)), count)
    line = np.arange(len(edge)) + np.repeat(first - (np.cumsum(count) - count), count)
    step = lower - upper
    x = upper[edge, 0] + (line * 64 + 32 - upper[edge, 1]) * step[edge, 0] // step[edge, 1]
    x = x.clip(0, size * 256)
    share = x & 255
    sign = np.where(down[edge], 1, -1)
    cell = (line >> 2) * (size + 2) + (x >> 8)
    cells = np.concatenate([cell, cell + 1])
    # bincount sums in float64, which is exact for integers of this size
    turns = np.bincount(cells, np.concatenate([sign * (256 - share), sign * share]), size * (size + 2))
    inside = np.abs(turns.astype(np.int32).reshape(size, size + 2).cumsum(axis=1, dtype=np.int32)[:, :size])
    return np.minimum(inside, FULL)


def paint(canvas: NDArray[np.int32], layers: tuple[Layer, ...]) -> None:
    """Paints the layers in order, in place."""
    size = len(canvas)
    named: dict[str, NDArray[np.int32]] = {}
    for layer in layers:
        cover = coverage(layer.polygon, size)
        if layer.inside:
            cover = np.minimum(cover, named[layer.inside])
        if layer.name:
            named[layer.name] = cover
        rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if len(rows):
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            under = canvas[window]
            under += (np.array(layer.colour, dtype=np.int32) - under) * cover[window][:, :, None] + 512 >> 10


def background(grid: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """(g, g, 3) -> (size, size, 3) by bilinear interpolation."""
    at = np.arange(size, dtype=np.int32) * ((len(grid) - 1) * 256) // size
    cell, share = at >> 8, (at & 255)
    rows = grid[cell] * (256 - share)[:, None, None] + grid[cell + 1] * share[:, None, None] >> 8
    return rows[:, cell] * (256 - share)[:, None] + rows[:, cell + 1] * share[:, None] >> 8


def blurred(image: NDArray[np.int32], amount: int) -> NDArray[np.int32]:
    """Blends the image with its 1-2-1 smoothing, repeated in proportion to the size; `amount` 0 .. 256 is the share."""
    soft = image
    for _ in range(-(-len(image) // 96)):
        padded = np.pad(soft, ((1, 1), (1, 1), (0, 0)), mode="edge")
        tall = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
        soft = tall[:-2] + 2 * tall[1:-1] + tall[2:] + 8 >> 4
    return image + ((soft - image) * amount >> 8)
