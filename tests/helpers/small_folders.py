"""Folders of small images: single files, and CUB's layout on disk and on a server."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets import DatasetError, open_dataset
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Archive, Expected
from tests.helpers.fakes.file_server import Answer, FileServer


def draw(path: Path, size: tuple[int, int] = (12, 10), mode: str = "RGB", kind: str | None = None) -> None:
    """An image of one colour, in the format `kind` or that of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90 if mode in ("L", "P") else "green").save(path, kind)


def draw_noise(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    """An image in which every pixel differs: another one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(zlib.crc32(os.fsencode(path)))
    Image.fromarray(generator.integers(0, 256, (*reversed(size), 3), dtype=np.uint8)).save(path)


def write_tables(folder: Path, tables: dict[str, list[str]]) -> None:
    """Text files without a newline at the end, as in some copies."""
    for name, lines in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines), encoding="utf-8")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def fails(name: str, root: Path, message: str, options: dict[str, Any] | None = None) -> None:
    """Opening the dataset raises `DatasetError` in one line that matches `message`."""
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset(name, root, options or {})
    assert "\n" not in str(caught.value)


def cub_like(folder: Path) -> Path:
    """Three classes, five images whose ids have gaps and stand in no order, in CUB's layout."""
    rows = [
        (7, "001.Auk/a.jpg", 1, 1),
        (3, "001.Auk/b.jpg", 1, 0),
        (40, "002.Coot_(black)/a.jpg", 2, 1),
        (41, "003.Owl/a.jpg", 3, 1),
        (9, "003.Owl/b c.jpg", 3, 0),
    ]
    for _, path, _, _ in rows:
        draw(folder / "images" / path)
    tables = {
        "images.txt": [f"{key} {path}" for key, path, _, _ in rows],
        "image_class_labels.txt": [f"{key} {label}" for key, _, label, _ in reversed(rows)],
        "train_test_split.txt": [f"{key} {train}" for key, _, _, train in rows],
        "classes.txt": ["1 001.Auk", "2 002.Coot_(black)", "3 003.Owl"],
        "bounding_boxes.txt": [f"{key} {key}.5 2.0 3.0 4.0" for key, _, _, _ in rows],
        "parts/parts.txt": ["1 beak", "2 left eye"],
        "parts/part_locs.txt": [f"{key} {part} {key}.0 {part}.5 {part % 2}" for key, *_ in rows for part in (1, 2)],
    }
    write_tables(folder, tables)
    return folder


CUB_NAMES = ("001.Auk/a.jpg", "001.Auk/b.jpg", "002.Coot/a.jpg", "002.Coot/b.jpg", "003.Owl/a.jpg", "003.Owl/b.jpg")


def small_cub(below: Path) -> Path:
    """Three classes in CUB's layout, two images each, the first for training."""
    folder = below / "CUB_200_2011"
    for number, name in enumerate(CUB_NAMES):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    tables = {
        "images.txt": [f"{number} {name}" for number, name in enumerate(CUB_NAMES, start=1)],
        "image_class_labels.txt": [f"{number} {int(name[:3])}" for number, name in enumerate(CUB_NAMES, start=1)],
        "train_test_split.txt": [f"{number} {number % 2}" for number in range(1, len(CUB_NAMES) + 1)],
        "classes.txt": ["1 001.Auk", "2 002.Coot", "3 003.Owl"],
    }
    write_tables(folder, tables)
    return folder


def serve_cub(cub: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
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
