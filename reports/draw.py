"""Draws the figures of a report and saves them: many at once, on as many processors as there are."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from reports.figures.style import save
from reports.pictures import Drawing

WORTH = 12
"""Figures for which it pays to start another process, which takes as long as drawing some."""


@dataclass(frozen=True)
class Picture:
    """A figure as written: one stem, several formats."""

    title: str
    paths: tuple[Path, ...]


def draw_all(drawings: Iterable[Drawing], folder: Path) -> dict[str, list[Picture]]:
    """Draws and saves what has something to show; by kind, in the order given. Raises `results.store.ResultsError`."""
    stem_of = _stems()
    tasks = [(drawing, stem_of(f"{drawing.kind} {drawing.heading}")) for drawing in drawings]
    processes = min(os.cpu_count() or 1, len(tasks) // WORTH + 1)
    # joblib's processes do not load the main module, which may hold torch.
    written = Parallel(n_jobs=processes)(delayed(_drawn)(drawing, folder, stem) for drawing, stem in tasks)
    pictures: dict[str, list[Picture]] = defaultdict(list)
    for (drawing, _), paths in zip(tasks, written, strict=True):
        if paths:
            pictures[drawing.kind].append(Picture(drawing.title, tuple(paths)))
    return dict(pictures)


def _drawn(drawing: Drawing, folder: Path, stem: str) -> list[Path]:
    figure = drawing.draw(*drawing.arguments, drawing.title)
    return save(figure, folder, stem) if figure else []


def _stems() -> Callable[[str], str]:
    """A function from any words to a file name that is plain, short and not yet taken."""
    taken: Counter[str] = Counter()

    def stem_of(words: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
        taken[stem] += 1
        return stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"

    return stem_of
