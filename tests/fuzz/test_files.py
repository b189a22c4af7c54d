"""Images, archives, weight files and checkpoints: read, or refused in one line; nothing is written outside."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from benchmarks.training.checkpoints import checkpoint
from datasets.fetching.unpack import unpack
from datasets.formats.decode import read_image
from methods.checkpoints import weights_of
from methods.networks import create_network
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT
from tests.helpers.fuzzing import NASTY, Fuzz, damaged
from tests.helpers.image_bytes import WHOLE, encoded, picture, tiff
from tests.helpers.small_training import small_run

IMAGES = WHOLE | {
    "gif": encoded(picture(), "GIF"),
    "bmp": encoded(picture(), "BMP"),
    "tiff": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "grey tiff": tiff(16, bytes(range(4))),
    "interlaced": encoded(picture().convert("RGBA"), "PNG", optimize=True),
    "exif": encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
}


def test_an_image_is_decoded_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    whole = {}
    for kind, content in IMAGES.items():
        file.write_bytes(content)
        whole[kind] = read_image(file)
    for draw in fuzz.draws("image", 400):
        kind = draw.choice(list(IMAGES))
        file.write_bytes(damaged(IMAGES[kind], draw))
        pixels = fuzz.attempt(lambda: read_image(file))
        if pixels is not None:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            if not np.array_equal(pixels, whole[kind]):
                fuzz.altered()  # most formats have no checksum of their pixels


KINDS_OF_MEMBERS = (
    *(tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
)
"""Files twice, so that they are as frequent as links."""


def _names(draw: Random) -> str:
    odd = [str(value) for value in NASTY if isinstance(value, str) and "\0" not in value]
    parts = [
        draw.choice((*odd, "mini", "train", "..", ".", "", "a.png", "\udc80")) for _ in range(draw.randrange(1, 4))
    ]
    return draw.choice(("", "/", "./", "mini/", "../")) + "/".join(parts)


def _tar(draw: Random) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=draw.choice(("w", "w:gz", "w:bz2"))) as archive:
        for _ in range(draw.randrange(1, 5)):
            member = tarfile.TarInfo(_names(draw))
            member.type = draw.choice(KINDS_OF_MEMBERS)
            member.linkname = draw.choice(("../outside.txt", "/etc", "mini", "."))
            member.mode = draw.choice((0, 0o7777))
            content = draw.randbytes(draw.randrange(600)) if member.isreg() else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _zip(draw: Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for _ in range(draw.randrange(1, 5)):
            member = zipfile.ZipInfo(_names(draw).encode(errors="replace").decode())
            member.external_attr = draw.choice((0o100644, 0o120777, 0o040755, 0o010644, 0)) << 16
            archive.writestr(member, draw.randbytes(draw.randrange(600)))
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "made"), [("archive.tar.gz", _tar), ("archive.zip", _zip)])
def test_an_archive_is_unpacked_inside_or_refused(
    kind: str, made: Callable[[Random], bytes], fuzz: Fuzz, tmp_path: Path
) -> None:
    outside, root = tmp_path / "outside.txt", tmp_path / "root"
    outside.write_text("untouched", encoding="utf-8")
    for draw in fuzz.draws(kind, 120):
        content = made(draw)
        file = tmp_path / kind
        file.write_bytes(damaged(content, draw) if draw.randrange(2) else content)
        fuzz.attempt(lambda at=root / str(fuzz.number), file=file: unpack(file, at, lambda done, total: None))
        assert {path.name for path in tmp_path.iterdir()} <= {outside.name, kind, root.name}
        assert outside.read_text(encoding="utf-8") == "untouched"
        assert not any(path.is_symlink() for path in (root / str(fuzz.number)).rglob("*"))


def _pickled(state: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def test_a_weight_file_fills_the_network_or_is_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    net = create_network("test_resnet", 64, {})
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    wrapped = {"epoch": 3, "model": {f"module.{name}": value for name, value in state.items()}, "args": [1, None]}
    files = {".safetensors": save(state), ".pth": _pickled(wrapped), ".bin": _pickled(state)}
    for draw in fuzz.draws("weights", 120):
        suffix = draw.choice(list(files))
        file = tmp_path / f"weights{suffix}"
        content = files[suffix]
        head = 4000 if draw.randrange(2) else len(content)  # where names and shapes are, or anywhere
        file.write_bytes(damaged(content[:head], draw) + content[head:])
        found = fuzz.attempt(lambda file=file: weights_of(file, net))
        same = {name: torch.equal(state[name], value) for name, value in (found or [{}])[0].items() if name in state}
        if found is not None and not all(same.values()):
            fuzz.altered()  # planning hashes weight files, so that it is another one's Run


def test_a_checkpoint_is_whole_or_left_unused(fuzz: Fuzz, tmp_path: Path) -> None:
    run = small_run()
    state = {"epoch": 1, "limit": None, "weights": {"a": torch.arange(600.0)}, "history": [{"epoch": 1, "loss": 0.5}]}
    checkpoint.save(tmp_path, run, state)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for draw in fuzz.draws("checkpoint", 150):
        for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
            (tmp_path / name).write_bytes(damaged(whole, draw))
        found = fuzz.attempt(lambda: checkpoint.load(tmp_path, run))
        if found is not None and found[0] is not None:
            assert torch.equal(found[0]["weights"]["a"], state["weights"]["a"])
            assert found[0]["history"] == state["history"]
