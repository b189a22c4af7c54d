"""Image files of every kind people have: the pixels are right, and a damaged file is never taken for an image."""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

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


@pytest.mark.parametrize("kind", WHOLE)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = tmp_path / "cut.jpg"
    whole = WHOLE[kind]
    longest = len(whole) - (5 if kind in ("png", "palette") else 1)  # a PNG ends with a checksum of nothing
    path.write_bytes(whole[: data.draw(st.integers(0, longest))])
    with pytest.raises(DatasetError, match=r"cut.jpg is truncated or not an image; restore it or remove it"):
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
    with pytest.raises(DatasetError, match=r"page.jpg is truncated or not an image"):
        read_image(page)
    with pytest.raises(DatasetError, match=r"gone.jpg can't be read: No such file"):
        read_image(tmp_path / "gone.jpg")
