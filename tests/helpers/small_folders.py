"""Small image folders in the layouts of people and releases, and what opening a faulty one must raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasets import DatasetError, open_dataset


def draw(path: Path, size: tuple[int, int] = (12, 10), mode: str = "RGB", kind: str | None = None) -> None:
    """An image of one colour, in the format `kind` or that of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90 if mode in ("L", "P") else "green").save(path, kind)


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
    (folder / "parts").mkdir()
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines))  # no newline at the end, as in some copies
    return folder
