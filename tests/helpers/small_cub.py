"""CUB, three classes small, on disk and on a server."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.readers.cub_200_2011 import CUB
from datasets.release import Archive, Expected
from tests.helpers.file_server import Answer, FileServer

NAMES = ("001.Auk/a.jpg", "001.Auk/b.jpg", "002.Coot/a.jpg", "002.Coot/b.jpg", "003.Owl/a.jpg", "003.Owl/b.jpg")


def small_cub(below: Path) -> Path:
    """Three classes in CUB's layout, two images each, the first for training."""
    folder = below / "CUB_200_2011"
    for number, name in enumerate(NAMES):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    tables = {
        "images.txt": [f"{number} {name}" for number, name in enumerate(NAMES, start=1)],
        "image_class_labels.txt": [f"{number} {int(name[:3])}" for number, name in enumerate(NAMES, start=1)],
        "train_test_split.txt": [f"{number} {number % 2}" for number in range(1, len(NAMES) + 1)],
        "classes.txt": ["1 001.Auk", "2 002.Coot", "3 003.Owl"],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder


def serve(cub: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUB's reader gets its archive, three classes small, from the test's own server."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(cub, "CUB_200_2011")
    content = stream.getvalue()
    stated = Archive(
        "CUB_200_2011.tgz",
        (server.serve("/cub", Answer(content)),),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        gives=("CUB_200_2011",),
    )
    monkeypatch.setattr(CUB, "archives", (stated,))
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
