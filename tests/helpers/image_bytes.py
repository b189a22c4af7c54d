"""Small image files as bytes, in the formats that people have."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(width: int = 90, height: int = 60) -> Image.Image:
    """A smooth coloured picture, so that lossy formats stay near."""
    y, x = np.mgrid[:height, :width]
    channels = [127 + 120 * np.sin(x / 9), 127 + 120 * np.cos(y / 7), 255 * (x + y) / (width + height)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


WHOLE = {
    "jpeg": encoded(picture(), "JPEG"),
    "progressive": encoded(picture(), "JPEG", progressive=True),
    "grey": encoded(picture().convert("L"), "JPEG"),
    "cmyk": encoded(picture().convert("CMYK"), "JPEG"),
    "png": encoded(picture(), "PNG"),
    "palette": encoded(picture().quantize(16), "PNG"),
    "webp": encoded(picture(), "WEBP"),
}


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(bits: int, values: bytes, sample_format: int = 1, black: int = 1, width: int = 2) -> bytes:
    """A little-endian TIFF of one row: `sample_format` 1 unsigned, 2 signed, 3 floating; `black` 0 means 0 is white."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, black), (273, 8), (278, 1), (279, len(values))]
    tags.append((339, sample_format))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    values = values.ljust(-(-len(values) // 2) * 2, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + directory + bytes(4)
