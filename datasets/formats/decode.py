"""Reading one image file: JPEG with torchvision, all other formats with Pillow.

For JPEG (grey and CMYK included) torchvision is faster and gives the same pixels as Pillow. PNG goes through Pillow
because one damaged byte in a PNG kills the process inside torchvision. The format is detected from the content, not
from the name, so a PNG called `.jpg` is read correctly. The orientation is always the one that Pillow finds, because
torchvision looks for EXIF in the first segment only.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from datasets.formats.heads import CONVERT, ELSE, HEAD, fault_of, openers
from datasets.interface import DatasetError

# Since 0.29 torchvision recommends the decoders of TorchCodec 0.16. They need torch 2.11, and we support 2.8.
warnings.filterwarnings("ignore", "The image decoding and encoding capabilities of TorchVision", DeprecationWarning)
# Pillow warns of images of half the size that it refuses, without the file's name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

EIGHT_BIT_MODES = frozenset(["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"])
"""Pillow's modes whose values are 0 .. 255, or a palette of such values."""
TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
"""EXIF orientation -> whether rows and columns are swapped, and then the steps through them."""
DAMAGED = (OSError, EOFError, ValueError, SyntaxError, RuntimeError, IndexError, struct.error, zlib.error)
"""What decoders raise for bytes that they don't expect."""


class _Refused(Exception):  # noqa: N818 - no error of the file
    """The image is whole, but its values have no known brightness. The message follows the file's name."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as upright RGB `(H, W, 3)`, turned as Pillow's `exif_transpose` turns it.

    Grey becomes three equal channels, transparent pixels are blended with white, 16-bit values keep their upper 8 bits,
    and of an animation the first frame is read. Raises `DatasetError` naming the file, with the reason and what to do,
    if it can't be decoded, or if it holds floating-point or 32-bit values, whose brightness no format defines.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error.strerror or error}") from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = _decode_jpeg(data) if image.format == "JPEG" else None
            if pixels is None:
                pixels = _decode_with_pillow(image, data)
            return upright(pixels, image)
    except Exception as error:  # the boundary: whatever a decoder raises is said of this file
        raise DatasetError(f"{path} {_reason(error, data, path.suffix)}") from error


def _decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels as stored, or None if torchvision can't decode the file and Pillow has to try."""
    import torch  # only here: tables of images are read without torch
    from torchvision.io import ImageReadMode, decode_image

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image = decode_image(encoded, ImageReadMode.RGB)
    except RuntimeError as error:
        if "truncated" in str(error):  # Pillow would accept a file that lacks its very end
            raise OSError(str(error)) from error
        return None
    return image.permute(1, 2, 0).contiguous().numpy()


def _decode_with_pillow(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """The pixels as stored, or as Pillow has turned them by itself (TIFF)."""
    if image.format == "PNG" and data.rfind(b"IEND") < 0:
        raise OSError("the end of the PNG file is missing")  # Pillow accepts this if all rows are there
    image.load()
    # Before Pillow 11 a 16-bit PNG has mode I; PGM has it to this day.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_16_bits(image)
    if image.mode not in EIGHT_BIT_MODES:
        kind = {"F": "floating-point values", "I": "32-bit values"}.get(image.mode, "colours")
        raise _Refused(
            f"holds {kind} (mode {image.mode}), whose brightness is not defined; save it with 8 or 16 bits per channel"
        )
    if image.format == "PNG":
        _scale_transparency(image, bits=data[24])
    if image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _from_16_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Scaled; Pillow's own conversion clips at 255. A TIFF says how many bits its values have, and which end is white.

    The tags are those of TIFF 6.0, section 8: BitsPerSample (258) and PhotometricInterpretation (262, 0: 0 is white).
    """
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    grey = (values >> (tags.get(258, (16,))[0] - 8)).astype(np.uint8)
    if tags.get(262) == 0:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return np.stack([grey] * 3, axis=-1)


def _scale_transparency(image: Image.Image, bits: int) -> None:
    """Pillow scales the pixels of a PNG to 8 bits, but not the transparent colour, which it compares with them."""
    colour = image.info.get("transparency")
    if image.mode == "L" and isinstance(colour, int):
        image.info["transparency"] = colour * 255 // (2**bits - 1)
    elif image.mode == "RGB" and isinstance(colour, tuple) and bits == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def upright(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Turns `(H, W, 3)` by the orientation that Pillow finds in EXIF or XMP; not at all if these are damaged."""
    try:
        swapped, down, right = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1), (False, 1, 1))
    except Exception:  # what isn't needed for the pixels must not cost the image
        return pixels
    turned = pixels.swapaxes(0, 1) if swapped else pixels
    return np.ascontiguousarray(turned[::down, ::right])


def _reason(error: Exception, data: bytes, suffix: str) -> str:
    """Why the file can't be read and what to do, to follow its name."""
    said = (str(error).splitlines() or [""])[0]
    if isinstance(error, _Refused):
        return said
    if isinstance(error, Image.DecompressionBombError):
        return f"is too large: {said.split(',')[0]}; save it with fewer pixels"
    if "MAX_TEXT_CHUNK" in said or "MAX_TEXT_MEMORY" in said or "text chunks" in said:
        return f"holds more text beside the image than Pillow reads ({said}); save it without metadata"
    if isinstance(error, Image.UnidentifiedImageError):
        if fault := fault_of(data[:HEAD], suffix):
            return fault
        said = _said_by_its_format(data)
    if isinstance(error, DAMAGED):
        return f"is truncated or damaged ({said}); {ELSE}"
    return f"can't be decoded ({type(error).__name__}: {said}); {CONVERT}, or remove it from the dataset"


def _said_by_its_format(data: bytes) -> str:
    """What Pillow's `open` keeps to itself: why the format that the file begins like does not take it."""
    for opener in openers(data):
        try:
            opener(io.BytesIO(data), "").close()
        except Exception as error:  # any of them is an answer
            return (str(error).splitlines() or [type(error).__name__])[0]
    return "its header can't be read"
