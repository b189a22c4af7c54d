"""A small dataset as an archive, intact and damaged, and a reader that is fetched from a test's URLs."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.readers.folder import Folder
from datasets.release import Archive


def noise(size: int, seed: int = 0) -> bytes:
    """A PNG that takes about 3 * size² bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


PHOTOS = {
    f"mini/{split}/{label}/{number}.png": noise(150, seed=number)
    for split in ("train", "test")
    for label in ("auk", "coot")
    for number in (1, 2)
}
GOOD = tar(PHOTOS)
OTHER = tar({name: noise(150, seed=7) for name in PHOTOS})
WRONG = bytes(len(GOOD))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class RecordingDisplay:
    """A display that records what it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[str, int, int | None]] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def bytes(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((what, done, total))


Get = Callable[..., RecordingDisplay]
"""The fixture `get`: fetches a reader into the test's data root."""


def mini(*urls: str, archive: bytes | None = GOOD, **facts: object) -> type[Folder]:
    """A reader of people's folders that is fetched from `urls`; its checksum is that of `archive`."""
    stated = Archive(
        "mini.tar.gz",
        urls,
        **({"sha256": sha256(archive) if archive else None, "gives": ("mini",)} | facts),  # type: ignore[arg-type]
    )
    return type("Mini", (Folder,), {"folder": "mini", "archives": (stated,), "by_hand": "ask the authors"})


def whole(root: Path) -> bool:
    """Whether the dataset is there with every byte, and nothing besides."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
    return found == PHOTOS and all(path.name in ("mini", ".downloads") for path in root.iterdir())
