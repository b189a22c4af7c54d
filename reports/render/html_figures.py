"""Figures inside the page, as data rather than as files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from reports.cell_format import one_line

KINDS = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
SHARP = 100_000
"""Bytes up to which a vector drawing is preferred; a larger one is slow to draw, and a PNG of it is not."""
LARGE = 200_000
"""Bytes above which pixels are compressed anew."""
SIDE = 1800
"""Pixels that they then have at most, either way; the file beside the page has all."""
ALL = 5_000_000
"""Bytes that the figures of one page have together at most; base64 makes a third more of it."""


@dataclass(frozen=True)
class Figure:
    """A picture as the page shows it: `data` is a data URI, or None where it would have made the page too large."""

    title: str
    data: str | None
    files: dict[str, str]
    """Format -> its file, as a path from the page."""


class Embedder:
    """Turns the pictures of a page in `folder` into figures, until `ALL` bytes are used up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = ALL

    def __call__(self, title: str, paths: Sequence[Path]) -> Figure:
        """A picture in one or several formats: its SVG as an image, in which no script runs, or its smallest other."""
        files = {path.suffix[1:].upper(): quote(Path(relpath(path, self._folder)).as_posix()) for path in paths}
        kind, data = _smallest(paths)
        if not data or len(data) > self._left:
            return Figure(one_line(title), None, files)
        self._left -= len(data)
        return Figure(one_line(title), f"data:{kind};base64,{base64.b64encode(data).decode()}", files)


def _smallest(paths: Sequence[Path]) -> tuple[str, bytes]:
    """Media type and bytes; none if there is no format that a browser shows."""
    sizes = {path: path.stat().st_size for path in paths if path.suffix in KINDS}
    drawings = [path for path, size in sizes.items() if path.suffix == ".svg" and size <= SHARP]
    path = drawings[0] if drawings else min(sizes, key=sizes.__getitem__, default=None)
    if path is None:
        return "", b""
    if path.suffix != ".svg" and sizes[path] > LARGE:
        return KINDS[".webp"], _shrunk(path)
    return KINDS[path.suffix], path.read_bytes()


def _shrunk(path: Path) -> bytes:
    """Photos, at most `SIDE` pixels wide and high, with losses that one has to look for."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = BytesIO()
    small.save(file, "WEBP", quality=80)
    return file.getvalue()
