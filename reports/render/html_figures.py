"""Figures inside the page, as data rather than as files."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from reports.contents import SavedFigure
from reports.figures.dark import themed
from reports.figures.style import COLUMN
from reports.render.small_svg import small_svg
from results.values.text import in_a_row

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
"""Formats that a browser shows, of those that figures and galleries are saved in."""
SHARP = 150_000
"""Bytes up to which the SVG is taken; browsers draw a larger one slowly, but not its PNG."""
LARGE = 200_000
"""Bytes above which a PNG is compressed anew."""
SIDE = 1800
"""Longest side of what is compressed, in pixels; the file beside the page is complete."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure as the page shows it."""

    title: str
    data: str | None
    """A data URI; None where it would make the page too large."""
    files: dict[str, str]
    """Format -> its file, as a path from the page."""
    caption: str = ""
    wide: bool = False
    """Whether it needs the page's whole width to be read."""


class Embedder:
    """Embeds the figures of a page in `folder`, until they would take more than `room` bytes of it."""

    def __init__(self, folder: Path, room: int) -> None:
        self._folder = folder
        self._left = room

    def __call__(self, figure: SavedFigure) -> EmbeddedFigure:
        """The figure's SVG, in which no script runs as long as it is an image, or another format that is smaller."""
        title, caption = in_a_row(figure.title), in_a_row(figure.caption)
        files = {path.suffix[1:].upper(): quote(Path(relpath(path, self._folder)).as_posix()) for path in figure.paths}
        media_type, data = _smallest(figure.paths)
        uri = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        if not data or len(uri) > self._left:
            return EmbeddedFigure(title, None, files, caption)
        self._left -= len(uri)
        return EmbeddedFigure(title, uri, files, caption, _wide(data))


def _smallest(paths: Sequence[Path]) -> tuple[str, bytes]:
    """Media type and bytes; nothing if there is no format that a browser shows."""
    sizes = {path: path.stat().st_size for path in paths if path.suffix in MEDIA_TYPES}
    drawings = [path for path, size in sizes.items() if path.suffix == ".svg" and size <= SHARP]
    path = drawings[0] if drawings else min(sizes, key=sizes.__getitem__, default=None)
    if path is None:
        return "", b""
    if path.suffix == ".svg":
        return MEDIA_TYPES[path.suffix], themed(small_svg(path.read_text(encoding="utf-8"))).encode()
    if sizes[path] > LARGE:
        return "image/webp", _compressed(path)
    return MEDIA_TYPES[path.suffix], path.read_bytes()


def _wide(data: bytes) -> bool:
    """Whether an SVG is wider than a column of a paper; photos are as wide as there is room."""
    width = re.match(rb'(?s).{0,1000}?<svg [^>]*?width="([0-9.]+)pt"', data)
    return width is None or float(width[1]) > 1.2 * 72 * COLUMN


def _compressed(path: Path) -> bytes:
    """The image as WebP, at most `SIDE` pixels wide and high; the loss is hard to see."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = BytesIO()
    small.save(file, "WEBP", quality=80)
    return file.getvalue()
