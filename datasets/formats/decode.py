"""Reading one image file: torchvision's decoder for JPEG, Pillow for the rest.

JPEG (grey and CMYK too) goes through torchvision, which is faster and gives Pillow's pixels. All other formats go
through Pillow; PNG too, for one damaged byte in it ends the whole process within torchvision. The format is told from
the content, never from the name, so a PNG called `.jpg` is read as what it is.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets.interface import DatasetError

# From 0.29 on torchvision points to the decoders of TorchCodec 0.16. Those need torch 2.11, and we support 2.8.
warnings.filterwarnings("ignore", "The image decoding and encoding capabilities of TorchVision", DeprecationWarning)


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB `(H, W, 3)` of an image file, upright: the EXIF orientation is applied.

    Grey becomes three equal channels, transparent pixels are laid on white, 16-bit pixels keep their upper 8 bits, of
    an animation the first frame is read. Raises `DatasetError` naming the file if it is missing, cut short or not an
    image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error.strerror or error}") from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = _decode_jpeg(data) if image.format == "JPEG" else None
            if pixels is not None:
                return pixels
            if image.format == "PNG" and data.rfind(b"IEND") < 0:
                raise OSError("the end of the PNG file is missing")  # Pillow doesn't mind, if all rows are there
            return _decode_with_pillow(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is truncated or not an image; restore it or remove it from the dataset") from error


def _decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels, or None where Pillow has to decide."""
    # Imported here so that datasets can be listed and opened without torch, which takes seconds to load.
    import torch
    from torchvision.io import ImageReadMode, decode_image

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image = decode_image(encoded, ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        if "truncated" in str(error):  # Pillow is more forgiving at the very end of a file
            raise OSError(str(error)) from error
        return None
    return image.permute(1, 2, 0).contiguous().numpy()


def _decode_with_pillow(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    # Pillow's own conversion would clip at 255 instead of scaling; a 16-bit PNG is of mode I before Pillow 11.
    if upright.mode.startswith("I;16") or (image.format == "PNG" and upright.mode == "I"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        drawn = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    return np.array(upright.convert("RGB"))
