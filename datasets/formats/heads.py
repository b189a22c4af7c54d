"""What the first bytes of a file say: whether it can be an image, and what it is if it can't be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, features

HEAD = 64
"""Bytes that are looked at."""

COMMON = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""How most images begin. Pillow is asked about all others: it takes a third of a second to load its formats."""

ELSE = "restore it or remove it from the dataset"
CONVERT = "convert it to JPEG or PNG"
UNREADABLE = {
    b"<!doctype html": f"is a web page and not an image; {ELSE}",
    b"<html": f"is a web page and not an image; {ELSE}",
    b"<svg": f"is a drawing (SVG), which can't be read; {CONVERT}",
    b"<?xml": f"is XML (perhaps a drawing), which can't be read; {CONVERT}",
    b"version https://git-lfs": "is a pointer of Git LFS and not the image; get the images with: git lfs pull",
    b"%pdf": f"is a PDF document, which can't be read; {CONVERT}",
    b"pk\x03\x04": "is a ZIP archive and not an image; unpack it",
    b"\xff\x0a": f"is a JPEG XL image, which can't be read; {CONVERT}",
    b"\0\0\0\x0cjxl ": f"is a JPEG XL image, which can't be read; {CONVERT}",
}
"""First bytes, in lower case, of what people find among their images."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
AVIF_BRANDS = (b"avif", b"avis")


def head_fault(path: Path) -> str | None:
    """Why `path` can't be an image, judged by its first bytes; None if it may be one.

    One line that names the file and says what to do. Nothing is decoded, so that all files of a dataset can be looked
    at before a Run starts.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    fault = fault_of(head, path.suffix)
    return fault and f"{path} {fault}"


def fault_of(head: bytes, suffix: str) -> str | None:
    """`head_fault` for the first bytes of a file with this suffix, without the file's name."""
    if head.startswith(COMMON) or head[8:12] == b"WEBP":
        return None
    if not head:
        return f"is empty; {ELSE}"
    if not any(head):
        return f"begins with zeros and not with an image; {ELSE}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, fault in UNREADABLE.items():
        if text.startswith(start):
            return fault
    if head[4:8] == b"ftyp":
        return _container_fault(head)
    return None if _pillow_reads(head, suffix) else f"is not an image of a known format; {ELSE}"


def _container_fault(head: bytes) -> str | None:
    """For the containers of HEIC, AVIF and MP4, which list the brands that they comply with."""
    brands = [head[place : place + 4] for place in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)]
    if any(brand in AVIF_BRANDS for brand in brands):
        return None if features.check("avif") else f"is an AVIF image, for which Pillow is too old here; {CONVERT}"
    if any(brand in HEIC_BRANDS for brand in brands):
        return f"is a HEIC photo, which can't be read; {CONVERT}"
    return f"is a video or an image of an unknown kind; {CONVERT}"


def openers(head: bytes) -> Iterator[Callable[..., Image.Image]]:
    """Pillow's classes for the formats that begin like this."""
    Image.init()
    prefix = head[:16].ljust(16, b"\0")  # what Pillow itself looks at
    return (opener for opener, accept in Image.OPEN.values() if accept is not None and accept(prefix) is True)


def _pillow_reads(head: bytes, suffix: str) -> bool:
    """Whether a format of Pillow begins like this. Formats without such a mark are known by the suffix."""
    if any(openers(head)):
        return True
    named = Image.registered_extensions().get(suffix.lower())
    return named in Image.OPEN and Image.OPEN[named][1] is None
