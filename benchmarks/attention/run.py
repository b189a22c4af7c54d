"""`run_all.py attention`: scores a trained Run's attention, stores the scores in its record, and writes galleries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.attention.gallery import write_galleries
from benchmarks.attention.localise import AttentionEvaluator, score
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.training.device import numerics
from benchmarks.training.networks.identity import check_dataset
from benchmarks.training.networks.trained_run import load_trained
from results.localisation import MEASURES, Localisation
from results.store import WEIGHTS, ResultStore, run_folder


@dataclass
class AttentionReport:
    """The attention of one Run."""

    id: str
    localisation: Localisation | None
    missing: dict[str, str]
    galleries: list[Path] = field(default_factory=list)


def measure_attention(store: ResultStore, run_id: str, environment: Environment, images: int) -> AttentionReport:
    """Scores a Run's attention over the whole test set; its galleries show `images` right and as many wrong ones.

    Raises `UserError` for a Run without weights or on other images, `ResultsError` if it can't be stored.
    """
    record, run, method = load_trained(store, run_id, torch.device(environment.device))
    evaluator = AttentionEvaluator(run, method, environment)
    check_dataset(run, evaluator.dataset)
    known = store.predictions(record.id)
    if known is None:
        raise UserError(f"{record.id} keeps no predictions; run it again to measure its attention")
    with numerics(run.precision):  # as it was trained and evaluated
        report = _measured(store, evaluator, record.id, known, images)
    of_attention = {key for key in record.missing if key.split(".")[0] == "localisation"}
    record.missing = {key: why for key, why in record.missing.items() if key not in of_attention}
    record.localisation = report.localisation
    record.missing |= report.missing
    store.write(record)
    return report


def _measured(
    store: ResultStore, evaluator: AttentionEvaluator, run_id: str, known: pd.DataFrame, images: int
) -> AttentionReport:
    """Scores the attention and writes the galleries; `known` are the Run's predictions."""
    found = score(evaluator)
    if found is None:
        return AttentionReport(run_id, None, {"localisation": f"{evaluator.run.method} gives no attention maps"})
    report = AttentionReport(run_id, found.localisation, found.missing)
    if images:
        predictions = known[known["selection"] == "last"].set_index("image")
        predictions = predictions.loc[[evaluator.dataset.paths[row] for row in evaluator.splits["test"]]]
        report.galleries = write_galleries(run_folder(store, run_id), evaluator, found, predictions, images)
    return report


def unmeasured(store: ResultStore) -> list[str]:
    """Ids of the finished train Runs that have weights and whose attention has not been measured yet."""
    return [
        record.id
        for record in store.records()
        if record.status == "done"
        and record.run.job == "train"
        and record.localisation is None
        and "localisation" not in record.missing
        and (run_folder(store, record.id) / WEIGHTS).is_file()
    ]


def score_rows(report: AttentionReport) -> list[dict[str, Any]]:
    """A row per measure for the terminal, in percent."""
    found = report.localisation
    if found is None:
        return []
    return [
        {
            "measure": words,
            "%": f"{100 * found.scores[name].value:.1f}",
            "95 % interval": f"{100 * found.scores[name].low:.1f} … {100 * found.scores[name].high:.1f}",
            "centre prior": _percent(found, "centre", name),
            "random cells": _percent(found, "random", name),
            "another image's annotations": _percent(found, "elsewhere", name),
        }
        for name, words in MEASURES.items()
        if name in found.scores
    ]


def _percent(found: Localisation, source: str, name: str) -> str | None:
    estimates = getattr(found, source)
    return f"{100 * estimates[name].value:.1f}" if name in estimates else None
