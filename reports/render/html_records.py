"""The record behind a number, as the page shows it: a few small tables of text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.cell_format import DASH
from reports.classes import class_name, confused
from reports.groups import hardware_name, selected
from reports.names import IDS, Names
from reports.predictions import Answer
from reports.render.html_facets import facet_values
from reports.render.html_images import ImageSet
from reports.run_files import RunFiles
from results.identity import PREDATES, predates_check
from results.record import SELECTIONS, Record
from results.settings import flat
from results.stored_tables import Columns

EPOCHS = 40
"""Most rows that a page shows of one history."""
EPOCHS_OF_ALL = 16_000
"""Most rows of all histories together, unless one would have less than `FEWEST`."""
FEWEST = 6
WORST = 5
"""Classes, and pairs of classes, with the most errors that a record names."""
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
_OF_THE_RUN = {"job", "seed"}
"""Settings shown with the outcome. All seeds share the others, so the page holds those once."""
_LONG = ("class_names", "subsets")


@dataclass(frozen=True)
class Part:
    """A table of text below a title; its first column names the rows."""

    title: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    plots: Sequence[Sequence[int]] = ()
    """Columns to plot over the first, one list per plot."""
    note: str = ""


def records_data(
    records: Sequence[Record], files: RunFiles, sets: Sequence[ImageSet] = (), names: Names = IDS
) -> dict[str, Any]:
    """`{"parts": [...], "runs": {id: {...}}}`, ready for JSON.

    A Run has `number`, `label`, `status`, `job`, `replicate`, `experiment` (a number that its seeds share), `device`,
    `of` (its values of the page's facets), `images` (the place in `sets` of those that it predicted, or None), and
    `parts`: places in `parts`. Parts that several Runs share (settings, versions, hardware, a split) are there once.
    """
    epochs = max(FEWEST, min(EPOCHS, EPOCHS_OF_ALL // max(1, len(records))))
    places: dict[str, int] = {}
    experiments: dict[str, int] = {}
    image_set = {number: place for place, each in enumerate(sets) for number in each.answers}
    runs = {}
    for number, record in enumerate(records):
        texts = [json.dumps(vars(part)) for part in _parts(record, files, epochs)]
        known = [places.setdefault(text, len(places)) for text in texts]
        experiment = experiments.setdefault(record.experiment or record.id, len(experiments))
        runs[record.id] = {
            "number": number,
            "label": _label(record, names),
            "status": record.status,
            "job": record.run.job,
            "replicate": record.run.replicate,
            "experiment": experiment,
            "device": hardware_name(record),
            "of": facet_values(record.run),
            "images": image_set.get(number),
            "parts": known,
        }
    return {"parts": [json.loads(text) for text in places], "runs": runs}


def _label(record: Record, names: Names) -> str:
    method, replicate = names.method(record.run.method, record.run.variant), record.run.replicate
    if record.run.job == "profile":
        return f"{method}, profile" + (f", repeat {replicate}" if replicate else "")
    return f"{method}, seed {replicate}"


def _parts(record: Record, files: RunFiles, epochs: int) -> Iterator[Part]:
    yield Part("Run", _pairs(_outcome(record)))
    yield from _accuracy(record)
    for mode, speed in record.speed.items():
        yield Part(f"Speed, {mode}", _pairs(speed.model_dump(exclude_none=True)))
    if (history := files.history(record.id)) is not None and len(history["epoch"]):
        yield _history(history, record, epochs)
    if answer := files.predictions.of_run(record.id):
        yield _predictions(answer, record.split.get("class_names") or ())
    several = [("Weights", each) for each in record.weights] + [("Published value", each) for each in record.published]
    for title, values in (*_facts(record), *several):
        if rows := _pairs(values):
            yield Part(title, rows)


def _outcome(record: Record) -> dict[str, Any]:
    values: dict[str, Any] = {"status": record.status, "error": record.error}
    values |= record.run.model_dump(include=_OF_THE_RUN)
    values |= {"started": f"{record.started:%Y-%m-%d %H:%M} UTC", "minutes": f"{record.seconds / 60:.1f}"}
    values |= {"times resumed": record.resumed, "hash": record.hash}
    values |= {"note": PREDATES} if predates_check(record.run) else {}
    return {key: value for key, value in values.items() if value is not None}


def _accuracy(record: Record) -> Iterator[Part]:
    known = [(name.replace("_", " "), metrics) for name in SELECTIONS if (metrics := selected(record, name))]
    known += [(f"last, read-out {name} (passes: {one.views})", one) for name, one in record.readouts.items()]
    rows = [
        [name, str(one.epoch)]
        + [f"{100 * value:.2f}" for value in (one.top1, one.top5, one.mean_class, one.calibration_error)]
        + [_plain(one.log_loss, 4)]
        for name, one in known
    ]
    head = ["selected by", "epoch", "top-1, %", "top-5, %", "mean class, %", "calibration error, %", "log loss"]
    if rows:
        yield Part("Accuracy on the test set", rows, head)


def _facts(record: Record) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every other field of the record, also those that this file does not know; but for its checksums, which are for
    files and not for readers."""
    yield "What is missing, and why", record.missing
    yield "Settings", record.run.model_dump(mode="json", exclude=_OF_THE_RUN)
    state = {True: "clean", False: "with uncommitted changes", None: "not known"}[record.clean]
    yield "Code and versions", {"commit": record.commit, "checkout": state, **record.versions}
    yield "Hardware", record.hardware
    yield "Training", record.training
    yield "Model", record.model
    yield "Split", {key: value for key, value in record.split.items() if key not in _LONG}
    yield "Traceback", {} if record.traceback is None else {"text": record.traceback}
    shown = {"schema_version", "id", "hash", "status", "run", "error", "traceback", "started", "seconds", "resumed"}
    shown |= {"commit", "clean", "versions", "hardware", "split", "weights", "model", "metrics", "training", "speed"}
    rest = record.model_dump(mode="json", exclude=shown | {"missing", "published", "checksums"}, exclude_none=True)
    yield "Also recorded", rest


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    return [[name, _plain(value)] for name, value in flat(_numbered(values)).items()]


def _numbered(value: Any) -> Any:
    """Lists of mappings become mappings from 1, 2, …, so that they can be flattened."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        value = {str(number): one for number, one in enumerate(value, 1)}
    return {key: _numbered(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _history(history: Columns, record: Record, epochs: int) -> Part:
    """The first and last epoch, the selected ones, and others at equal distances."""
    length = len(history["epoch"])
    columns = [name for name in _HISTORY if name in history and not _is_blank(history[name])]
    places = set(np.linspace(0, length - 1, min(epochs, length)).round().astype(int).tolist())
    chosen = [metrics.epoch for metrics in record.metrics.values()]
    places |= set(np.flatnonzero(np.isin(history["epoch"], chosen)).tolist())
    shown = sorted(places)
    cells = [[_scaled(value, _HISTORY[name][1]) for value in history[name][shown].tolist()] for name in columns]
    plots = [[columns.index(name) for name in names if name in columns] for names in _PLOTTED]
    note = f"{len(shown)} of {length} epochs; all are in history.csv." if len(shown) < length else ""
    headings = [_HISTORY[name][0] for name in columns]
    return Part("History", list(zip(*cells, strict=True)), headings, [plot for plot in plots if plot], note)


def _is_blank(values: NDArray[Any]) -> bool:
    """Whether no epoch has a value."""
    return not any(values) if values.dtype == object else bool(np.isnan(values).all())


def _predictions(answer: Answer, names: Sequence[str]) -> Part:
    """How many are right, how confident the predictions are, and where the errors are."""
    labels, guesses, right = answer.labels, answer.predictions, answer.right
    rows = [["right", f"{right.sum()} of {len(right)} ({100 * right.mean():.1f} %)"]]
    for word, which in (("right", right), ("wrong", ~right)):
        if which.any():
            confidence = answer.confidence[which].mean(dtype=np.float64)
            rows.append([f"mean confidence where {word}", f"{100 * confidence:.1f} %"])
    images = np.bincount(labels)
    hits = np.bincount(labels[right], minlength=len(images))
    with_errors = np.flatnonzero(hits < images)
    lowest = with_errors[np.argsort(hits[with_errors] / images[with_errors], kind="stable")][:WORST]
    rows += [[f"lowest: {class_name(names, one)}", f"{hits[one]} of {images[one]} right"] for one in lowest.tolist()]
    pairs, counts = confused(labels, guesses)
    for place in np.argsort(-counts, kind="stable")[:WORST]:
        label, guess = (class_name(names, number) for number in pairs[place].tolist())
        rows.append([f"confused: {label}", f"with {guess}, {counts[place]} times"])
    return Part("Predictions of the last epoch", rows, note="predictions.parquet has one row per image.")


def _scaled(value: Any, unit: int) -> str:
    return _plain(unit * value if unit != 1 else value, digits=4)


def _plain(value: object, digits: int = 6) -> str:
    if isinstance(value, str):  # first, as most are; asking whether it is iterable takes longest
        return value
    if isinstance(value, (float, np.floating)):
        return DASH if math.isnan(value) else f"{value:.{digits}g}"  # NaN: of an epoch that was not evaluated
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        texts = [_plain(one, digits) for one in value]
        sentences = any(" " in text for text in texts)
        return ("\n" if sentences else ", ").join(texts) or "none"
    return str(value)
