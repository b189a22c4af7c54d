"""Draws the figures of a report and saves them: many at once, and none that is there already."""

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
from reports.figures.select import Drawing
from reports.figures.style import FORMATS, STYLE, save
from results.store import write_whole

WORTH = 12
"""Figures for which it pays to start another process, which takes as long as drawing some."""
DRAWN = ".drawn.json"
"""In the folder of figures: file stem -> what the figure was drawn from, as a hash."""


def draw_all(drawings: Iterable[Drawing], folder: Path) -> dict[str, list[SavedFigure]]:
    """Draws and saves what has something to show; by kind, in the order given.

    A figure that an earlier call drew into `folder` from the same data, by the same code, is left as it is. Raises
    `results.store.ResultsError`.
    """
    stem_of, code = _stems(), _code()
    tasks = [(drawing, stem_of(f"{drawing.kind} {drawing.heading}")) for drawing in drawings]
    hashes = {stem: joblib.hash((code, drawing.title, drawing)) for drawing, stem in tasks}
    before = _drawn_before(folder)
    paths = {stem: _paths(folder, stem) for stem in hashes if before.get(stem) == hashes[stem]}
    paths = {stem: files for stem, files in paths.items() if all(path.is_file() for path in files)}
    to_draw = [(drawing, stem) for drawing, stem in tasks if stem not in paths]
    processes = min(os.cpu_count() or 1, len(to_draw) // WORTH + 1)
    # joblib's processes do not load the main module, which may hold torch.
    written = Parallel(n_jobs=processes)(delayed(_drawn)(drawing, folder, stem) for drawing, stem in to_draw)
    paths |= {stem: files for (_, stem), files in zip(to_draw, written, strict=True)}
    known = {stem: hashes[stem] for stem, files in paths.items() if files}
    write_whole(folder / DRAWN, lambda path: path.write_text(json.dumps(known, indent=1), encoding="utf-8"))
    figures: dict[str, list[SavedFigure]] = defaultdict(list)
    for drawing, stem in tasks:
        if paths[stem]:
            figures[drawing.kind].append(SavedFigure(drawing.title, tuple(paths[stem])))
    return dict(figures)


def _drawn(drawing: Drawing, folder: Path, stem: str) -> list[Path]:
    figure = drawing.draw(*drawing.arguments, drawing.title)
    return save(figure, folder, stem) if figure else []


def _paths(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}.{kind}" for kind in FORMATS]


def _drawn_before(folder: Path) -> dict[str, str]:
    """What `DRAWN` says; nothing if there is none, or it is not what it should be: then all is drawn anew."""
    try:
        known = json.loads((folder / DRAWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _code() -> str:
    """What else a figure depends on: its style, and all code of reports, of which labels and numbers' looks are too."""
    files = sorted([*STYLE.parent.rglob("*.py"), STYLE])
    digest = hashlib.sha256(matplotlib.__version__.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _stems() -> Callable[[str], str]:
    """A function from any words to a file name that is plain, short and not yet taken."""
    taken: Counter[str] = Counter()

    def stem_of(words: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
        taken[stem] += 1
        return stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"

    return stem_of
