"""Draws a bird from a `Scene`, a record of numbers: gives pixels, box and part points.

The same scene gives the same bytes on every machine: shapes are computed with + - * / alone (rotations use rational
points of the circle, no sine), filled by a fixed-point scan-line rasteriser, and painted, lit and blurred in integers.
No image library is used, because its next version might change pixels.

Bird units: the body is about one long, x points to the beak, y down. Frame units: the side of the image is one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.drawing.raster import FULL, Colour, Layer, Point, Polygon, background, blurred, coverage, paint

VERSION = 1
"""Increase it whenever the same scene is drawn differently."""

PARTS: dict[str, tuple[str, ...]] = {
    "eye": ("cleareyed", "ringed", "masked"),
    "tail": ("forktail", "fantail", "pintail", "squaretail"),
    "beak": ("conebill", "daggerbill", "hookbill", "sicklebill", "spoonbill"),
    "wing": ("plainwing", "onebar", "twobar", "spotwing"),
    "crown": ("smooth", "crested", "capped"),
    "breast": ("plain", "banded", "spotted", "bibbed", "streaked"),
    "legs": ("shortleg", "longleg", "trousered"),
}
"""Part -> its styles. A scene has one style per part, in this order."""


class Clutter(NamedTuple):
    """A leaf or a twig, behind or in front of the bird."""

    centre: Point  # frame units
    length: float  # frame units
    thickness: float  # share of the length
    turn: float  # tangent of half the angle
    colour: Colour


@dataclass(frozen=True)
class Scene:
    """Everything in an image. `styles` is the class; nothing else depends on the class."""

    styles: tuple[str, ...]
    part_scale: float  # of marks, beak, tail; 1 is normal
    scale: float  # frame units per bird unit
    place: Point  # within the free space: 0 .. 1 is inside the frame, beyond it the bird is cut off
    mirrored: bool
    lean: float  # rotation of the body, tangent of half the angle; negative is upright
    nod: float  # rotation of the head, likewise
    plump: float  # height of the body; 1 is normal
    neck: Point  # displacement of the head, bird units
    body: Colour
    belly: Colour
    wing: Colour
    mark: Colour
    beak: Colour
    leg: Colour
    perch: Colour
    perch_slope: float
    background: tuple[tuple[Colour, ...], ...]  # a coarse grid to interpolate
    behind: tuple[Clutter, ...]
    before: tuple[Clutter, ...]
    light: tuple[int, int, int]  # at the centre, change to the right edge, change to the lower edge; 256 is neutral
    blur: int  # 0 .. 256
    noise: int  # largest deviation, in grey levels
    noise_seed: int


@dataclass(frozen=True)
class Geometry:
    """A scene laid out in pixels, not yet painted."""

    backdrop: tuple[Layer, ...]
    bird: tuple[Layer, ...]
    occluders: tuple[Layer, ...]
    box: tuple[float, float, float, float]
    """x, y, width, height of the bird, clipped to the frame."""
    points: Polygon
    """(P, 2) one per part, visible or not."""


# ---- shapes -----------------------------------------------------------------------------------------------------


def _polygon(*corners: Point) -> Polygon:
    return np.array(corners, dtype=np.float64)


def _smooth(*controls: Point) -> Polygon:
    """The closed quadratic B-spline of `controls`, six points to each."""
    b = np.array(controls, dtype=np.float64)
    a, c = np.roll(b, 1, axis=0), np.roll(b, -1, axis=0)
    t = (np.arange(6) / 6).reshape(1, 6, 1)
    a, b, c = a[:, None], b[:, None], c[:, None]
    return ((1 - t) * (1 - t) * 0.5 * a + (0.5 + t * (1 - t)) * b + t * t * 0.5 * c).reshape(-1, 2)


def _unit_circle() -> Polygon:
    t = np.arange(6) / 6
    x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return np.concatenate([np.stack(quarter, axis=1) for quarter in ((x, y), (-y, x), (-x, -y), (y, -x))])


_CIRCLE = _unit_circle()


def _disc(x: float, y: float, radius: float) -> Polygon:
    return _CIRCLE * radius + (x, y)


def _ring(x: float, y: float, outer: float, inner: float) -> Polygon:
    """The outer circle, then the inner one backwards: the winding numbers cancel in the hole."""
    out, back = _disc(x, y, outer), _disc(x, y, inner)[::-1]
    return np.concatenate([out, out[:1], back[-1:], back])


def _bar(x: float, half_width: float, slant: float, top: float, bottom: float) -> Polygon:
    return _polygon(
        (x - half_width + slant, top),
        (x + half_width + slant, top),
        (x + half_width - slant, bottom),
        (x - half_width - slant, bottom),
    )


def _turned(polygon: Polygon, half_tangent: float, onto: Point = (0.0, 0.0)) -> Polygon:
    """Rotates about the origin by an angle with tangent `half_tangent` of its half, then moves `onto` a point."""
    scale = 1 / (1 + half_tangent * half_tangent)
    cos, sin = (1 - half_tangent * half_tangent) * scale, 2 * half_tangent * scale
    x, y = polygon[:, 0], polygon[:, 1]
    return np.stack([cos * x - sin * y + onto[0], sin * x + cos * y + onto[1]], axis=1)


# ---- the bird ---------------------------------------------------------------------------------------------------

_TAILS = {
    "forktail": _polygon((0, -0.08), (-0.56, -0.27), (-0.24, 0.01), (-0.56, 0.27), (0, 0.1)),
    "fantail": _polygon((0, -0.06), (-0.36, -0.3), (-0.5, -0.14), (-0.53, 0.02), (-0.5, 0.18), (-0.36, 0.32), (0, 0.1)),
    "pintail": _polygon((0, -0.1), (-0.68, 0.01), (0, 0.12)),
    "squaretail": _polygon((0, -0.09), (-0.48, -0.12), (-0.48, 0.14), (0, 0.11)),
}
_BEAKS = {
    "conebill": _polygon((0, -0.14), (0.24, 0.02), (0, 0.14)),
    "daggerbill": _polygon((0, -0.08), (0.5, 0.01), (0, 0.08)),
    "hookbill": _polygon((0, -0.11), (0.2, -0.11), (0.3, -0.02), (0.28, 0.22), (0.17, 0.08), (0, 0.1)),
    "sicklebill": _polygon((0, -0.09), (0.22, -0.06), (0.38, 0.06), (0.44, 0.26), (0.27, 0.12), (0, 0.08)),
    "spoonbill": _polygon(
        (0, -0.07), (0.26, -0.05), (0.37, -0.15), (0.5, -0.1), (0.5, 0.12), (0.37, 0.17), (0.26, 0.07), (0, 0.08)
    ),
}
_BODY = _smooth(
    (0.5, -0.14), (0.47, 0.2), (0.1, 0.38), (-0.32, 0.24), (-0.64, 0.04), (-0.44, -0.16), (0, -0.32), (0.36, -0.4)
)
_BELLY = _smooth((0.62, -0.1), (0.5, 0.26), (0.1, 0.46), (-0.34, 0.3), (-0.1, 0.14), (0.25, 0.02))
_WING = _smooth((0.22, -0.2), (0.18, 0.1), (-0.16, 0.22), (-0.76, 0.12), (-0.36, -0.2), (-0.02, -0.3))
_SPOTS_OF_BREAST = ((0.37, -0.04), (0.36, 0.12), (0.22, 0.2), (0.24, 0.03), (0.06, 0.26), (-0.1, 0.26))
_SPOTS_OF_WING = ((0.08, -0.14), (0.04, 0.05), (-0.11, -0.07), (-0.2, 0.08), (-0.28, -0.07), (-0.42, 0.05))
_NECK, _TAIL_ROOT, _HEAD = (0.4, -0.38), (-0.46, 0.03), 0.28


def _breast(style: str, mark: Colour, p: float) -> list[Layer]:
    shapes: dict[str, list[Polygon]] = {
        "plain": [],
        "banded": [_ring(*_NECK, 0.49 + 0.07 * p, 0.49 - 0.07 * p)],
        "spotted": [_disc(x, y, 0.058 * p) for x, y in _SPOTS_OF_BREAST],
        "bibbed": [_disc(*_NECK, 0.32 + 0.14 * p)],
        "streaked": [_bar(x, 0.03 * p, -0.05, -0.1, 0.5) for x in (-0.13, 0.02, 0.17, 0.32)],
    }
    return [Layer(shape, mark, inside="body") for shape in shapes[style]]


def _wing(style: str, mark: Colour, p: float) -> list[Layer]:
    shapes: dict[str, list[Polygon]] = {
        "plainwing": [],
        "onebar": [_bar(-0.1, 0.075 * p, 0.1, -0.4, 0.3)],
        "twobar": [_bar(x, 0.05 * p, 0.1, -0.4, 0.3) for x in (0.04, -0.22)],
        "spotwing": [_disc(x, y, 0.055 * p) for x, y in _SPOTS_OF_WING],
    }
    return [Layer(shape, mark, inside="wing") for shape in shapes[style]]


def _head(crown: str, eye: str, beak: str, scene: Scene) -> list[Layer]:
    """The head, level, around its own centre."""
    p, mark = scene.part_scale, scene.mark
    layers = [Layer(_BEAKS[beak] * p + (0.2, 0.03), scene.beak)]
    if crown == "crested":
        spikes = ((0.16, 0), (0.02, -0.3), (-0.06, -0.12), (-0.2, -0.32), (-0.2, -0.06), (-0.4, -0.18), (-0.2, 0.14))
        layers.append(Layer(_polygon(*spikes) * p + (-0.02, -0.18), mark))
    layers.append(Layer(_disc(0, 0, _HEAD), scene.body, name="head"))
    if crown == "capped":
        layers.append(Layer(_polygon((-0.4, -0.4), (0.4, -0.4), (0.4, -0.14), (-0.4, 0.02)), mark, inside="head"))
    if eye == "masked":
        layers.append(Layer(_polygon((0.3, -0.1), (0.3, 0.08), (-0.3, 0.12), (-0.3, -0.02)), mark, inside="head"))
    if eye == "ringed":
        layers.append(Layer(_ring(0.09, -0.02, 0.1 + 0.055 * p, 0.09), mark, inside="head"))
    return [
        *layers,
        Layer(_disc(0.09, -0.02, 0.085), (236, 232, 220)),
        Layer(_disc(0.09, -0.02, 0.066), (18, 16, 20)),
        Layer(_disc(0.11, -0.045, 0.02), (255, 255, 255)),
    ]


def _legs(style: str, hips: tuple[Point, Point], scene: Scene) -> tuple[list[Layer], float]:
    """Legs from the hips straight down to the perch, and the height of the perch."""
    length = {"shortleg": 0.3, "longleg": 0.56, "trousered": 0.44}[style]
    layers, ground = [], max(y for _, y in hips) + length
    for x, y in hips:
        layers.append(Layer(_polygon((x - 0.03, y), (x + 0.03, y), (x + 0.03, ground), (x - 0.03, ground)), scene.leg))
        toes = _polygon((x - 0.08, ground + 0.02), (x, ground - 0.06), (x + 0.12, ground + 0.02), (x, ground + 0.05))
        layers.append(Layer(toes, scene.leg))
        if style == "trousered":
            layers.append(
                Layer(_polygon((x - 0.13, y), (x + 0.13, y), (x + 0.06, y + 0.34), (x - 0.06, y + 0.34)), scene.belly)
            )
    return layers, ground


def _assemble(scene: Scene) -> tuple[list[Layer], Polygon, float]:
    """Layers of the bird from back to front, part points and height of the perch, in bird units."""
    style = dict(zip(PARTS, scene.styles, strict=True))
    p = scene.part_scale

    def on_body(polygon: Polygon) -> Polygon:
        return _turned(polygon * (1, scene.plump), scene.lean)

    neck = on_body(_polygon((_NECK[0] + scene.neck[0], _NECK[1] + scene.neck[1])))[0]

    def on_head(polygon: Polygon) -> Polygon:
        return _turned(polygon, scene.nod, (float(neck[0]), float(neck[1])))

    hips = on_body(_polygon((0.08, 0.2), (-0.14, 0.2)))
    legs, ground = _legs(style["legs"], ((hips[0, 0], hips[0, 1]), (hips[1, 0], hips[1, 1])), scene)
    torso = [
        Layer(_BODY, scene.body, name="body"),
        Layer(_BELLY, scene.belly, inside="body"),
        *_breast(style["breast"], scene.mark, p),
        Layer(_WING, scene.wing, name="wing"),
        *_wing(style["wing"], scene.mark, p),
    ]
    tail = Layer(_TAILS[style["tail"]] * p + _TAIL_ROOT, scene.wing)
    layers = [
        *legs,
        *(layer._replace(polygon=on_body(layer.polygon)) for layer in (tail, *torso)),
        *(
            layer._replace(polygon=on_head(layer.polygon))
            for layer in _head(style["crown"], style["eye"], style["beak"], scene)
        ),
    ]
    eye, crown, beak = on_head(_polygon((0.09, -0.02), (-0.04, -0.24), (0.2 + 0.16 * p, 0.03)))
    tail_point, wing, breast = on_body(_polygon((_TAIL_ROOT[0] - 0.18 * p, 0.04), (-0.12, 0.0), (0.32, 0.08)))
    shins = (hips[0] + hips[1]) * 0.5 + (0, 0.25)
    points = np.stack([eye, tail_point, beak, wing, crown, breast, shins])  # in the order of PARTS
    return layers, points, ground


def _blade(clutter: Clutter, size: int) -> Layer:
    """A leaf, pointed at both ends; a twig is a thin leaf."""
    outline = _polygon((-0.5, 0), (-0.2, -0.5), (0.15, -0.45), (0.5, 0), (0.15, 0.45), (-0.2, 0.5))
    outline = outline * (clutter.length * size, clutter.length * clutter.thickness * size)
    return Layer(_turned(outline, clutter.turn, (clutter.centre[0] * size, clutter.centre[1] * size)), clutter.colour)


def lay_out(scene: Scene, size: int) -> Geometry:
    """Shapes, box and part points of `scene` in pixels of a `size` × `size` image, without painting it."""
    layers, points, ground = _assemble(scene)
    corners = np.concatenate([layer.polygon for layer in layers if not layer.inside])
    low, high = corners.min(axis=0), corners.max(axis=0)
    free = size - (high - low) * (scene.scale * size)
    shift = free * scene.place - low * (scene.scale * size)

    def in_pixels(polygon: Polygon) -> Polygon:
        placed = polygon * (scene.scale * size) + shift
        return placed * (-1, 1) + (size, 0) if scene.mirrored else placed

    x, rise = points[-1, 0], 3 * scene.perch_slope
    ends = (x - 3, ground - rise), (x + 3, ground + rise), (x + 3, ground + rise + 0.1), (x - 3, ground - rise + 0.08)
    perch = Layer(in_pixels(_polygon(*ends)), scene.perch)
    left, top = in_pixels(np.stack([low, high])).min(axis=0).clip(0, size).tolist()
    right, bottom = in_pixels(np.stack([low, high])).max(axis=0).clip(0, size).tolist()
    return Geometry(
        backdrop=(*(_blade(clutter, size) for clutter in scene.behind), perch),
        bird=tuple(layer._replace(polygon=in_pixels(layer.polygon)) for layer in layers),
        occluders=tuple(_blade(clutter, size) for clutter in scene.before),
        box=(left, top, right - left, bottom - top),
        points=in_pixels(points),
    )


def visible(geometry: Geometry, size: int) -> NDArray[np.bool_]:
    """(P,) whether each part point is inside the frame and not occluded."""
    inside = np.all((geometry.points >= 0) & (geometry.points < size), axis=1)
    x, y = np.floor(geometry.points.clip(0, size - 1)).astype(np.int64).T
    for layer in geometry.occluders:
        inside &= coverage(layer.polygon, size)[y, x] * 2 < FULL
    return inside


# ---- the image -----------------------------------------------------------------------------------------------------


def draw(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Paints the image: (size, size, 3), RGB."""
    geometry = lay_out(scene, size)
    image = background(np.array(scene.background, dtype=np.int32), size)
    paint(image, geometry.backdrop + geometry.bird + geometry.occluders)
    across = (np.arange(size, dtype=np.int32) * 2 - size) * 256 // size
    centre, right, down = scene.light
    light = centre + (across[None, :] * right >> 8) + (across[:, None] * down >> 8)
    image = blurred(image * light[:, :, None] >> 8, scene.blur)
    # the byte stream of a hash is the same in every version of every library
    stream = hashlib.shake_256(scene.noise_seed.to_bytes(8, "big")).digest(image.size)
    grain = np.frombuffer(stream, dtype=np.uint8).reshape(image.shape).astype(np.int32) - 128
    return (image + (grain * scene.noise >> 7)).clip(0, 255).astype(np.uint8)
