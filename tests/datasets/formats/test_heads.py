"""A look at the first bytes of a file: what can be an image passes, what can't is named with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, features

from datasets.formats.heads import head_fault

Image.init()
WRITABLE = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP")


@pytest.mark.parametrize("kind", [kind for kind in WRITABLE if kind in Image.SAVE])
def test_what_pillow_reads_passes_whatever_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.tga" if kind == "TGA" else "a.jpg")  # nothing in a TGA's first bytes tells its format
    Image.new("RGB", (20, 10), "green").save(path, kind)
    assert head_fault(path) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty; restore it"),
        (bytes(5000), "begins with zeros and not with an image; restore it"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC photo, which can't be read; convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "is a HEIC photo"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "is a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL image"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "is a web page and not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x12\x34 neither this nor that", "is not an image of a known format; restore it or remove it"),
        (b"\xff", "is not an image of a known format"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    said = head_fault(path)
    assert said is not None
    assert said.startswith(f"{path} ")
    assert fault in said


def test_an_avif_without_its_decoder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf")
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert "is an AVIF image, for which Pillow is too old here" in str(head_fault(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert head_fault(tmp_path / "gone.jpg") == f"{tmp_path / 'gone.jpg'} can't be read: No such file or directory"
