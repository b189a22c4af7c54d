"""How a figure is drawn and saved. The processes that draw import this alone, and none of what prepares the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reports.figures.style import style
from results.files import write_whole

FORMATS = ("svg", "pdf", "png")
"""Vectors for papers, pixels for pages."""
CAPTION = "txt"
"""What is written beside them."""
_REPRODUCIBLE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def draw_and_save(
    draw: Callable[..., Figure | None], arguments: Sequence[Any], folder: Path, stem: str, caption: str
) -> list[Path]:
    """Saves the figure `draw(*arguments)` as `save` does, and its caption beside it; nothing if it is None."""
    figure = draw(*arguments)
    if figure is None:
        return []
    text = folder / f"{stem}.{CAPTION}"
    write_whole(text, lambda path: path.write_text(caption + "\n", encoding="utf-8"), option="--out")
    return [*save(figure, folder, stem), text]


def save(figure: Figure, folder: Path, stem: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes `folder/stem.<format>` for each format, whole or not at all."""
    paths = [folder / f"{stem}.{kind}" for kind in formats]
    with style():
        # The layout is computed once; with the engine in place, each format would draw twice.
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine(None)
        for path in paths:
            kind = path.suffix[1:]
            draw = partial(figure.savefig, format=kind, metadata=_REPRODUCIBLE.get(kind))
            write_whole(path, draw, option="--out")
    return paths
