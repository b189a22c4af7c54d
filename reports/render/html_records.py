"""A record as people read it: a few small tables of text, which the page shows to who asks where a number is from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.cell_format import DASH, absent
from reports.groups import job, selected, value_of
from reports.render.summaries import SummarisingStore, Summary
from results.record import SELECTIONS, Record
from results.settings import flat

EPOCHS = 40
"""Rows of one history that a page shows at most."""
EPOCHS_OF_ALL = 16_000
"""Rows that the histories of all Runs have together at most, as far as `FEWEST` allows."""
FEWEST = 6
_HISTORY = {
    "epoch": ("epoch", 1),
    "phase": ("phase", 1),
    "loss": ("training loss", 1),
    "test_top1": ("test top-1, %", 100),
    "validation_top1": ("validation top-1, %", 100),
    "lr": ("learning rate", 1),
    "images_per_s": ("images/s", 1),
}
"""Column of a history -> its heading and unit."""
_PLOTTED = (("loss",), ("test_top1", "validation_top1"))
_OF_THE_RUN = ("job", "seed", "suite")
"""Settings that stand with the outcome; the others are alike for all seeds, and a page holds them once."""
_LONG = ("class_names", "subsets")


@dataclass(frozen=True)
class Part:
    """A table of text below a title; its first column names the rows."""

    title: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    plots: Sequence[Sequence[int]] = ()
    """Columns to be drawn over the first, one list per pair of axes."""
    note: str = ""


def records_data(records: Sequence[Record], store: SummarisingStore) -> dict[str, Any]:
    """`{"parts": [...], "runs": {id: {"label", "status", "parts": [places]}}}`, ready for JSON.

    What several Runs share (settings, versions, hardware, a split) is held once.
    """
    epochs = max(FEWEST, min(EPOCHS, EPOCHS_OF_ALL // max(1, len(records))))
    places: dict[str, int] = {}
    runs = {}
    for record in records:
        texts = [json.dumps(vars(part)) for part in _parts(record, store, epochs)]
        known = [places.setdefault(text, len(places)) for text in texts]
        runs[record.id] = {"label": _label(record), "status": record.status, "parts": known}
    return {"parts": [json.loads(text) for text in places], "runs": runs}


def _label(record: Record) -> str:
    names = " ".join(str(value) for key in ("method", "variant") if not absent(value := value_of(record, key)))
    return f"{names}, profile" if job(record) == "profile" else f"{names}, seed {record.run.get('seed', DASH)}"


def _parts(record: Record, store: SummarisingStore, epochs: int) -> Iterator[Part]:
    yield Part("Run", _pairs(_outcome(record)))
    yield from _accuracy(record)
    for mode, speed in record.speed.items():
        yield Part(f"Speed, {mode}", _pairs(speed.model_dump(exclude_none=True)))
    if (history := store.history(record.id)) is not None and len(history):
        yield _history(history, record, epochs)
    if summary := store.summary(record.id):
        yield _predictions(summary, record.split.get("class_names") or ())
    several = [("Weights", each) for each in record.weights] + [("Published value", each) for each in record.published]
    for title, values in (*_facts(record), *several):
        if rows := _pairs(values):
            yield Part(title, rows)


def _outcome(record: Record) -> dict[str, Any]:
    values: dict[str, Any] = {"status": record.status, "error": record.error}
    values |= {key: value for key in _OF_THE_RUN if (value := record.run.get(key)) is not None}
    values |= {"started": f"{record.started:%Y-%m-%d %H:%M} UTC", "minutes": f"{record.seconds / 60:.1f}"}
    values |= {"times resumed": record.resumed, "hash": record.hash}
    return {key: value for key, value in values.items() if value is not None}


def _accuracy(record: Record) -> Iterator[Part]:
    known = [(name, metrics) for name in SELECTIONS if (metrics := selected(record, name))]
    rows = [
        [name.replace("_", " "), str(one.epoch)]
        + [f"{100 * value:.2f}" for value in (one.top1, one.top5, one.mean_class, one.calibration_error)]
        + [_plain(one.log_loss, 4)]
        for name, one in known
    ]
    head = ["selected by", "epoch", "top-1, %", "top-5, %", "mean class, %", "calibration error, %", "log loss"]
    if rows:
        yield Part("Accuracy on the test set", rows, head)


def _facts(record: Record) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field of the record that is no table, also those that this file has never heard of."""
    yield "What is missing, and why", record.missing
    yield "Settings", {key: value for key, value in record.run.items() if key not in _OF_THE_RUN}
    state = {True: "clean", False: "with uncommitted changes", None: "not known"}[record.clean]
    yield "Code and versions", {"commit": record.commit, "checkout": state, **record.versions}
    yield "Hardware", record.hardware
    yield "Training", record.training
    yield "Model", record.model
    yield "Split", {key: value for key, value in record.split.items() if key not in _LONG}
    yield "Traceback", {} if record.traceback is None else {"text": record.traceback}
    shown = {"schema_version", "id", "hash", "status", "run", "error", "traceback", "started", "seconds", "resumed"}
    shown |= {"commit", "clean", "versions", "hardware", "split", "weights", "model", "metrics", "training", "speed"}
    rest = record.model_dump(mode="json", exclude=shown | {"missing", "published"}, exclude_none=True)
    yield "Also recorded", rest


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    return [[name, _plain(value)] for name, value in flat(_numbered(values)).items()]


def _numbered(value: Any) -> Any:
    """The same with lists of mappings as mappings from 1, 2, …, so that they can be flattened."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        value = {str(number): one for number, one in enumerate(value, 1)}
    return {key: _numbered(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _history(history: pd.DataFrame, record: Record, epochs: int) -> Part:
    """The first and last epoch, those that the accuracies are of, and others at equal distances."""
    known = {name: history[name].to_numpy() for name in _HISTORY if name in history}
    columns = [name for name, values in known.items() if not all(map(absent, values))]
    places = set(np.linspace(0, len(history) - 1, min(epochs, len(history))).round().astype(int).tolist())
    chosen = [metrics.epoch for metrics in record.metrics.values()]
    places |= set(np.flatnonzero(np.isin(known.get("epoch", ()), chosen)).tolist())
    shown = sorted(places)
    cells = [[_scaled(known[name][place], _HISTORY[name][1]) for place in shown] for name in columns]
    plots = [[columns.index(name) for name in names if name in columns] for names in _PLOTTED]
    note = f"{len(shown)} of {len(history)} epochs; all are in history.csv." if len(shown) < len(history) else ""
    headings = [_HISTORY[name][0] for name in columns]
    return Part("History", list(zip(*cells, strict=True)), headings, [plot for plot in plots if plot], note)


def _predictions(summary: Summary, names: Sequence[str]) -> Part:
    def name(number: int) -> str:
        return str(names[number]) if number < len(names) else f"class {number}"

    rows = [["right", f"{summary.right} of {summary.images} ({100 * summary.right / summary.images:.1f} %)"]]
    for told, value in (("right", summary.confidence_right), ("wrong", summary.confidence_wrong)):
        if value is not None:
            rows.append([f"mean confidence where {told}", f"{100 * value:.1f} %"])
    rows += [[f"lowest: {name(one)}", f"{hits} of {images} right"] for one, hits, images in summary.lowest]
    rows += [[f"confused: {name(one)}", f"with {name(other)}, {n} times"] for one, other, n in summary.confused]
    return Part("Predictions of the last epoch", rows, note="One row per image is in predictions.parquet.")


def _scaled(value: Any, unit: int) -> str:
    return _plain(unit * value if unit != 1 else value, digits=4)


def _plain(value: object, digits: int = 6) -> str:
    if absent(value):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}g}"
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        texts = [_plain(one, digits) for one in value]
        sentences = any(" " in text for text in texts)
        return ("\n" if sentences else ", ").join(texts) or "none"
    return str(value)
