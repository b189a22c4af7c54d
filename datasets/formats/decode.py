"""Reading one image file: JPEG with torchvision, all other formats with Pillow.

For JPEG (grey and CMYK included) torchvision is faster and gives the same pixels as Pillow. PNG goes through Pillow
because one damaged byte in a PNG kills the process inside torchvision. The format is detected from the content, not
from the name, so a PNG called `.jpg` is read correctly.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets.interface import DatasetError

# Since 0.29 torchvision recommends the decoders of TorchCodec 0.16. They need torch 2.11, and we support 2.8.
warnings.filterwarnings("ignore", "The image decoding and encoding capabilities of TorchVision", DeprecationWarning)


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as upright RGB `(H, W, 3)`; the EXIF orientation is applied.

    Grey becomes three equal channels, transparent pixels are blended with white, 16-bit values keep their upper 8 bits,
    and of an animation the first frame is read. Raises `DatasetError` naming the file if it is missing, truncated or
    not an image.
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
                raise OSError("the end of the PNG file is missing")  # Pillow accepts this if all rows are there
            return _decode_with_pillow(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is truncated or not an image; restore it or remove it from the dataset") from error


def _decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels, or None if torchvision can't decode the file and Pillow has to try."""
    import torch  # only here: tables of images are read without torch
    from torchvision.io import ImageReadMode, decode_image

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image = decode_image(encoded, ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        if "truncated" in str(error):  # Pillow would accept a file that lacks its very end
            raise OSError(str(error)) from error
        return None
    return image.permute(1, 2, 0).contiguous().numpy()


def _decode_with_pillow(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    # Pillow's own conversion clips at 255 instead of scaling. Before Pillow 11 a 16-bit PNG has mode I.
    if upright.mode.startswith("I;16") or (image.format == "PNG" and upright.mode == "I"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(upright.convert("RGB"))
