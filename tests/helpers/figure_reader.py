"""What figures say, and which of them a store's records have."""

from __future__ import annotations

from matplotlib.figure import Figure

from reports.figures.select import drawings
from reports.predictions import PredictionCache
from reports.tables.table_registry import build_tables
from results.store import ResultStore


def texts(figure: Figure) -> str:
    """All text of the figure."""
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in found)


def asked_of(store: ResultStore) -> dict[str, list]:
    """The drawings of the store's records, by kind."""
    records, answers = store.records(), PredictionCache(store.predictions)
    found: dict[str, list] = {}
    built = build_tables(records, answers)
    for drawing in drawings(records, built, answers, store.history):
        found.setdefault(drawing.kind, []).append(drawing)
    return found
