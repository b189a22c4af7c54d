"""Image files of every kind people have: the pixels are right, and a damaged file is never taken for an image."""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from datasets.formats import decode
from datasets.formats.decode import read_image
from datasets.interface import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")
"""pytest forgets filters that were set on import; see `datasets.formats.decode`."""


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


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


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


def tiff(bits: int, values: bytes, sample_format: int = 1, black: int = 1, width: int = 2) -> bytes:
    """A little-endian TIFF of one row: `sample_format` 1 unsigned, 2 signed, 3 floating; `black` 0 means 0 is white."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, black), (273, 8), (278, 1), (279, len(values))]
    tags.append((339, sample_format))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    values = values.ljust(-(-len(values) // 2) * 2, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + directory + bytes(4)


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


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        pytest.param(tiff(32, struct.pack("<ff", 0, 1), sample_format=3), "F", id="float"),
        pytest.param(tiff(32, struct.pack("<ii", 0, 90_000), sample_format=2), "I", id="int32"),
        pytest.param(tiff(16, struct.pack("<hh", -5, 90), sample_format=2), "I", id="int16"),
        pytest.param(encoded(picture().convert("LAB"), "TIFF"), "LAB", id="LAB"),
    ],
)
def test_values_without_a_defined_brightness_are_refused_by_mode(tmp_path: Path, content: bytes, mode: str) -> None:
    path = tmp_path / "odd.tif"
    path.write_bytes(content)
    with pytest.raises(
        DatasetError, match=rf"odd.tif holds .*\(mode {mode}\).*; save it with 8 or 16 bits per channel"
    ):
        read_image(path)


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


@pytest.mark.parametrize("kind", WHOLE)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = tmp_path / "cut.jpg"
    whole = WHOLE[kind]
    longest = len(whole) - (5 if kind in ("png", "palette") else 1)  # a PNG ends with a checksum of nothing
    length = data.draw(st.integers(0, longest))
    path.write_bytes(whole[:length])
    known = r"truncated or damaged \(.+\)"
    fault = known if length >= 12 else "empty" if length == 0 else f"({known}|not an image of a known format)"
    with pytest.raises(DatasetError, match=rf"cut.jpg is {fault}; restore it or remove it from the dataset$"):
        read_image(path)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "grey", "cmyk"])
@pytest.mark.parametrize("missing", [1, 2, 3, 10, 100])
def test_a_jpeg_without_its_last_bytes_is_refused(tmp_path: Path, kind: str, missing: int) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(WHOLE[kind][:-missing])
    with pytest.raises(DatasetError, match="truncated"):
        read_image(path)


Image.init()
WRITABLE = frozenset(Image.SAVE)  # AVIF only where Pillow was built with it
DAMAGEABLE = WHOLE | {
    "deep": encoded(Image.fromarray(np.arange(60 * 90, dtype=np.uint16).reshape(60, 90)), "PNG"),
    **{kind: encoded(picture(), kind) for kind in ("AVIF", "BMP", "GIF", "TIFF") if kind in WRITABLE},
}


def read_damaged(path: Path, whole: bytes) -> None:
    """Reads the file 200 times, each with another byte damaged."""
    chance = np.random.default_rng(0)
    # Headers lie at the beginning.
    for place in [*range(100), *chance.integers(100, len(whole), 100).tolist()]:
        data = bytearray(whole)
        data[place] ^= int(chance.integers(1, 256))
        path.write_bytes(data)
        with contextlib.suppress(DatasetError):
            read_image(path)


@pytest.mark.parametrize("kind", DAMAGEABLE)
def test_a_damaged_byte_costs_an_image_and_not_the_process(tmp_path: Path, kind: str) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=read_damaged, args=(tmp_path / "damaged", DAMAGEABLE[kind])
    )
    process.start()
    process.join(120)
    assert process.exitcode == 0


THUMBNAIL = encoded(picture(8, 8), "JPEG")
EXIF = b"\xff\xe1" + (len(THUMBNAIL) + 8).to_bytes(2, "big") + b"Exif\0\0" + THUMBNAIL


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE["jpeg"][:2] + EXIF + WHOLE["jpeg"][2:-500], id="the thumbnail ends, the image does not"),
        pytest.param(WHOLE["jpeg"][:700] + bytes(len(WHOLE["jpeg"]) - 700), id="the rest is zeros"),
    ],
)
def test_a_jpeg_that_only_looks_whole_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="truncated"):
        read_image(path)


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


def test_a_missing_file_or_one_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    page = tmp_path / "page.jpg"
    page.write_text("<html>not found</html>")
    with pytest.raises(DatasetError, match=r"page.jpg is a web page and not an image"):
        read_image(page)
    with pytest.raises(DatasetError, match=r"gone.jpg can't be read: No such file"):
        read_image(tmp_path / "gone.jpg")


def test_an_image_of_too_many_pixels_says_how_many_and_how_many_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(WHOLE["png"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DatasetError, match=r"huge.png is too large: .*5400 pixels.*2000 pixels; save it with fewer"):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(decode).read_image(path)


def test_a_png_with_much_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "wordy.png"
    text = chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(2 << 20)))
    path.write_bytes(WHOLE["png"][:33] + text + WHOLE["png"][33:])
    with pytest.raises(
        DatasetError, match=r"wordy.png holds more text .* than Pillow reads .*; save it without metadata"
    ):
        read_image(path)


def test_a_rare_kind_of_a_known_format_is_refused_with_pillows_reason(tmp_path: Path) -> None:
    path = tmp_path / "rare.jpg"
    start = WHOLE["jpeg"].index(b"\xff\xc0")
    path.write_bytes(WHOLE["jpeg"][: start + 4] + b"\x0c" + WHOLE["jpeg"][start + 5 :])
    with pytest.raises(DatasetError, match=r"rare.jpg is truncated or damaged \(cannot handle 12-bit layers\)"):
        read_image(path)


@pytest.mark.parametrize(
    "error", [AttributeError("no such thing"), MemoryError(), ZeroDivisionError("division by zero")]
)
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: Image.Image) -> None:
        raise error

    path = tmp_path / "photo.png"
    path.write_bytes(WHOLE["png"])
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(DatasetError, match=rf"photo.png can't be decoded \({type(error).__name__}.*; convert it"):
        read_image(path)
