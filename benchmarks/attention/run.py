"""`run_all.py look`: measures a trained Run's attention, stores the numbers in its record, and writes its galleries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.attention.gallery import write_galleries
from benchmarks.attention.localise import AttentionEvaluator, sight
from benchmarks.attention.measures import MEASURES
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.training.inference import load_trained
from benchmarks.training.numerics import numerics
from results.localisation import Localisation
from results.store import WEIGHTS, ResultStore, run_folder


@dataclass
class AttentionReport:
    """What came of looking at one Run."""

    id: str
    localisation: Localisation | None
    missing: dict[str, str]
    galleries: list[Path] = field(default_factory=list)


def look_at(store: ResultStore, run_id: str, environment: Environment, images: int) -> AttentionReport:
    """Measures a Run's attention over the whole test set; `images` right and wrong ones go into its galleries.

    Raises `UserError` for a Run without weights or on other images, `ResultsError` if it can't be stored.
    """
    record, run, method = load_trained(store, run_id, torch.device(environment.device))
    viewer = AttentionEvaluator(run, method, environment)
    if viewer.dataset.split_hash != run.split_sha256:
        raise UserError(f"{record.id}: {run.dataset} has other images or another split than it was trained on")
    known = store.predictions(record.id)
    if known is None:
        raise UserError(f"{record.id} keeps no predictions; run it again to look at it")
    with numerics(run.precision):  # as it was trained and evaluated
        looked = _look(store, viewer, record.id, known, images)
    of_attention = {key for key in record.missing if key.split(".")[0] == "localisation"}
    record.missing = {key: why for key, why in record.missing.items() if key not in of_attention}
    record.localisation = looked.localisation
    record.missing |= looked.missing
    store.write(record)
    return looked


def _look(
    store: ResultStore, viewer: AttentionEvaluator, run_id: str, known: pd.DataFrame, images: int
) -> AttentionReport:
    """Measured, and the galleries written; `known` are the Run's predictions."""
    found = sight(viewer)
    if found is None:
        return AttentionReport(run_id, None, {"localisation": f"{viewer.run.method} gives no attention maps"})
    looked = AttentionReport(run_id, found.localisation, found.missing)
    if images:
        predictions = known[known["selection"] == "last"].set_index("image")
        predictions = predictions.loc[[viewer.dataset.paths[row] for row in viewer.splits["test"]]]
        looked.galleries = write_galleries(run_folder(store, run_id), viewer, found, predictions, images)
    return looked


def lookable(store: ResultStore) -> list[str]:
    """Ids of the finished train Runs that keep their weights and have not been looked at yet."""
    return [
        record.id
        for record in store.records()
        if record.status == "done"
        and record.run["job"] == "train"
        and record.localisation is None
        and "localisation" not in record.missing
        and (run_folder(store, record.id) / WEIGHTS).is_file()
    ]


def measured(looked: AttentionReport) -> list[dict[str, Any]]:
    """For people: a row per measure, in percent."""
    found = looked.localisation
    if found is None:
        return []
    return [
        {
            "measure": words,
            "%": f"{100 * found.scores[name].value:.1f}",
            "95 % interval": f"{100 * found.scores[name].low:.1f} … {100 * found.scores[name].high:.1f}",
            "centre prior": _percent(found, "centre", name),
            "another image's annotations": _percent(found, "elsewhere", name),
        }
        for name, words in MEASURES.items()
        if name in found.scores
    ]


def _percent(found: Localisation, source: str, name: str) -> str | None:
    estimates = getattr(found, source)
    return f"{100 * estimates[name].value:.1f}" if name in estimates else None
