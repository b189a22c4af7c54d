"""Image files of every kind people have: the pixels are those that the file means."""

from __future__ import annotations

import importlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from datasets.formats import decode
from datasets.formats.decode import read_image
from tests.helpers.image_bytes import WHOLE, chunk, encoded, picture, tiff

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")
"""pytest forgets filters that were set on import; see `datasets.formats.decode`."""


OTHERS = {
    "bmp": encoded(picture(), "BMP"),
    "tiff": encoded(picture(), "TIFF"),
    "gif": encoded(picture(), "GIF"),
    "grey png": encoded(picture().convert("L"), "PNG"),
    "grey with alpha": encoded(picture().convert("LA"), "PNG"),
    "black and white": encoded(picture().convert("1"), "PNG"),
}


@pytest.mark.parametrize("kind", WHOLE | OTHERS)
def test_pixels_are_those_of_pillow_whatever_the_files_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes((WHOLE | OTHERS)[kind])
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB"))
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "deep"
    values = np.linspace(0, 65535, 60 * 90).reshape(60, 90).astype(np.uint16)
    path.write_bytes(encoded(Image.fromarray(values), kind))
    np.testing.assert_array_equal(read_image(path)[..., 1], values >> 8)


def test_sixteen_bits_of_a_png_are_scaled_in_the_mode_of_older_pillows_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep.png"
    values = np.linspace(0, 65535, 60 * 90).reshape(60, 90).astype(np.int32)
    image = Image.fromarray(values)
    assert image.mode == "I"
    image.format = "PNG"
    path.write_bytes(WHOLE["png"])
    monkeypatch.setattr(Image, "open", lambda _: image)
    np.testing.assert_array_equal(read_image(path)[..., 1], values >> 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_blended_with_white(tmp_path: Path, mode: str) -> None:
    image = picture().convert("RGBA")
    alpha = np.full((60, 90), 255, dtype=np.uint8)
    alpha[:, :40] = 0
    image.putalpha(Image.fromarray(alpha))
    path = tmp_path / "cut-out.png"
    path.write_bytes(encoded(image.convert(mode), "PNG"))
    pixels = read_image(path)
    assert (pixels[:, :40] == 255).all()
    assert (pixels[:, 41:] != 255).any()


def png(bits: int, colours: int, row: bytes, transparent: bytes, width: int = 2) -> bytes:
    """A PNG of one row; `colours` is 0 for grey and 2 for RGB. All values are big-endian."""
    header = struct.pack(">IIBBBBB", width, 1, bits, colours, 0, 0, 0)
    parts = (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("content", "second"),
    [
        pytest.param(png(1, 0, b"\x80", b"\0\1"), 0, id="1 bit"),
        pytest.param(png(2, 0, b"\x60", b"\0\1"), 170, id="2 bits"),
        pytest.param(png(4, 0, b"\x3a", b"\0\3"), 170, id="4 bits"),
        pytest.param(png(8, 0, b"\x5a\xaa", b"\0\x5a"), 170, id="8 bits"),
        pytest.param(png(16, 0, b"\x12\x34\xaa\x00", b"\x12\x34"), 170, id="16 bits"),
        pytest.param(png(8, 2, b"\1\2\3\xaa\xaa\xaa", b"\0\1\0\2\0\3"), 170, id="RGB"),
        pytest.param(png(16, 2, b"\1\x09\2\x09\3\x09" + b"\xaa\0" * 3, b"\1\x09\2\x09\3\x09"), 170, id="RGB, 16 bits"),
    ],
)
def test_the_one_transparent_colour_of_a_png_is_white_and_no_other(tmp_path: Path, content: bytes, second: int) -> None:
    path = tmp_path / "cut-out.png"
    path.write_bytes(content)
    assert read_image(path).tolist() == [[[255] * 3, [second] * 3]]


@pytest.mark.parametrize(
    ("content", "greys"),
    [
        pytest.param(tiff(12, b"\x08\x0f\xff"), [8, 255], id="12 bits"),
        pytest.param(tiff(16, b"\x00\x80\xff\xff"), [128, 255], id="16 bits"),
        pytest.param(tiff(16, b"\x00\x80\xff\xff", black=0), [127, 0], id="16 bits, 0 is white"),
        pytest.param(b"P5 2 1 4095\n\x08\x00\x0f\xff", [128, 255], id="PGM with 12 bits"),
        pytest.param(b"P5 2 1 65535\n\x80\x00\xff\xff", [128, 255], id="PGM with 16 bits"),
    ],
)
def test_values_of_more_than_eight_bits_keep_their_brightness(tmp_path: Path, content: bytes, greys: list[int]) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(content)
    assert read_image(path)[0, :, 1].tolist() == greys


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned"
    path.write_bytes(encoded(picture(), kind, exif=exif))
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)


ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6
EXIF_6 = b"Exif\0\0" + ORIENTED.tobytes()[6:]
XMP = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'


def with_segments(jpeg: bytes, *contents: bytes) -> bytes:
    """The JPEG with APP1 segments of these contents directly after its start."""
    segments = [b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content for content in contents]
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([b"http://ns.adobe.com/xap/1.0/\0<x/>", EXIF_6], id="after XMP"),
        pytest.param([b"FLIR\0\1\0\0" + bytes(90), EXIF_6], id="after FLIR"),
        pytest.param([EXIF_6, EXIF_6], id="two EXIF segments"),
        pytest.param([XMP], id="in XMP only"),
        pytest.param([b"Exif\0\0 damaged"], id="damaged"),
    ],
)
def test_a_jpeg_is_upright_in_whatever_segment_its_orientation_is(tmp_path: Path, segments: list[bytes]) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_segments(WHOLE["jpeg"], *segments))
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    turned = segments != [b"Exif\0\0 damaged"]
    assert expected.shape == ((90, 60, 3) if turned else (60, 90, 3))
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_tag_that_breaks_pillows_exif_transpose_does_not_cost_the_image(tmp_path: Path) -> None:
    """A string of the tag ImageDescription (270) stored as a fraction: Pillow can read it, but not write it again."""
    path = tmp_path / "odd.png"
    entries = [(0x010E, 5, 1, 38), (0x0112, 3, 1, 6)]
    tags = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + tags + bytes(4) + struct.pack("<II", 1, 2)
    path.write_bytes(encoded(picture(), "PNG", exif=b"Exif\0\0" + exif))
    with Image.open(path) as image, pytest.raises(AttributeError):
        ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(read_image(path), np.array(picture().transpose(Image.Transpose.ROTATE_270)))


def test_torchvisions_deprecation_warning_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(WHOLE["jpeg"])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        importlib.reload(decode).read_image(path)
    # Python may say something of what it frees meanwhile, and earlier tests left open.
    assert [one.message for one in told if "torchvision" in str(one.message).lower()] == []


def test_bytes_after_the_end_of_an_image_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "long.jpg"
    path.write_bytes(WHOLE["jpeg"] + b"left behind by some camera")
    assert read_image(path).shape == (60, 90, 3)
