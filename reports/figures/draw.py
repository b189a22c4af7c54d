"""Draws and saves the figures of a report: in several processes, and only those that have changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import joblib
import matplotlib
from joblib import Parallel, delayed

from reports.contents import SavedFigure
from reports.figures.drawing import Drawing
from reports.figures.saving import CAPTION, FORMATS, draw_and_save
from reports.figures.style import STYLE
from results.files import write_whole

PER_PROCESS = 12
"""Figures that are worth another process, whose start takes as long as drawing some."""
DRAWN = ".drawn.json"
"""In the folder of figures: file stem -> hash of the data and code that the figure was drawn from."""


def start_drawing(drawings: Iterable[Drawing], folder: Path) -> Callable[[], dict[str, list[SavedFigure]]]:
    """Starts drawing and saving, so that the caller can do other work meanwhile.

    The function returned waits, and gives the figures that show something: by kind, in the order given. A figure that
    an earlier call drew into `folder` from the same data and code is kept. The function raises
    `results.errors.ResultsError`.
    """
    stem_of, code = _stems(), _code()
    tasks = [(drawing, stem_of(f"{drawing.kind} {drawing.heading}")) for drawing in drawings]
    hashes = {stem: joblib.hash((code, drawing.title, drawing.caption, drawing)) for drawing, stem in tasks}
    before = _drawn_before(folder)
    paths = {stem: _paths(folder, stem) for stem in hashes if before.get(stem) == hashes[stem]}
    paths = {stem: files for stem, files in paths.items() if all(path.is_file() for path in files)}
    to_draw = [(drawing, stem) for drawing, stem in tasks if stem not in paths]
    processes = min(os.cpu_count() or 1, len(to_draw) // PER_PROCESS + 1)
    # joblib's processes do not import the main module, which may import torch.
    parallel = Parallel(n_jobs=processes, return_as="generator")  # which does not wait; one process draws when asked
    written = parallel(
        delayed(draw_and_save)(
            drawing.draw, drawing.arguments, folder, stem, f"{drawing.title}. {drawing.caption}".strip()
        )
        for drawing, stem in to_draw
    )

    def finish() -> dict[str, list[SavedFigure]]:
        found = paths | {stem: files for (_, stem), files in zip(to_draw, written, strict=True)}
        known = {stem: hashes[stem] for stem, files in found.items() if files}
        write_whole(
            folder / DRAWN, lambda path: path.write_text(json.dumps(known, indent=1), encoding="utf-8"), option="--out"
        )
        figures: dict[str, list[SavedFigure]] = defaultdict(list)
        for drawing, stem in tasks:
            if found[stem]:
                figures[drawing.kind].append(SavedFigure(drawing.title, tuple(found[stem]), drawing.caption))
        return dict(figures)

    return finish


def _paths(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}.{kind}" for kind in (*FORMATS, CAPTION)]


def _drawn_before(folder: Path) -> dict[str, str]:
    """The contents of `DRAWN`; empty, so that all figures are drawn, if it is missing or damaged."""
    try:
        known = json.loads((folder / DRAWN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _code() -> str:
    """Hash of what else figures depend on: matplotlib, their style, and all code of reports, which forms the labels."""
    files = sorted([*STYLE.parent.parent.rglob("*.py"), STYLE])
    digest = hashlib.sha256(matplotlib.__version__.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _stems() -> Callable[[str], str]:
    """A function from any words to a plain, short file stem that it has not returned before."""
    taken: Counter[str] = Counter()

    def stem_of(words: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
        taken[stem] += 1
        return stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"

    return stem_of
