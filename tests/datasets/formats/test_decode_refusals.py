"""A file that can't be decoded is refused by name with the true reason; a damaged one never passes for an image."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from datasets.formats import decode
from datasets.formats.decode import read_image
from datasets.interface import DatasetError
from tests.helpers.image_bytes import WHOLE, chunk, encoded, picture, tiff

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")
"""pytest forgets filters that were set on import; see `datasets.formats.decode`."""


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
