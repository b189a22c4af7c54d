"""Records, histories and predictions as a Run would store them, with numbers chosen by the test."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from results.record import Metrics, Record, Selection, Speed
from results.settings import AnyRun, ProfileRun, Run
from results.speed import Mode
from results.store import ResultStore
from results.stored_tables import Columns

HOSTILE = 'a|b "c" <script>alert(1)</script> $x$ *y* [z](u)\n\x1b[31m`'
"""A name that would break a table, a page or a terminal that takes it for more than text."""
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
SPLIT = {"sha256": "5" * 64, "classes": 100, "train": 3000, "validation": 300, "test": 200}


def metrics(top1: float, epoch: int = 10) -> Metrics:
    return Metrics(epoch=epoch, top1=top1, top5=0.95, mean_class=top1, calibration_error=0.02, log_loss=0.5)


def trained(method: str, seed: int = 0, top1: float = 0.8, **changes: Any) -> Record:
    """A finished train Run; `changes` go to the record where it has such a field, else to its settings or recipe."""
    recipe = {"image_size": 448, "stored_size": 512, "epochs": 10, "batch_size": 32, "optimizer": {"lr": 0.01}}
    settings = {
        "method": method,
        "variant": "paper",
        "dataset": "cub100",
        "split_sha256": SPLIT["sha256"],
        "backbone": "resnet50",
        "pretrained": "resnet50.safetensors",
        "protocol": "common",
        "seed": seed,
    }
    every: dict[Selection, Metrics] = {
        "last": metrics(top1),
        "validation": metrics(top1 + 0.01, 8),
        "best_on_test": metrics(top1 + 0.02, 9),
    }
    fields: dict[str, Any] = {
        "seconds": 600.0,
        "split": SPLIT,
        "weights": [{"backbone": "resnet50", "file": "resnet50.safetensors", "sha256": "6" * 64, "unfilled": []}],
        "model": {"parameters": 25_600_000, "flops": 16_500_000_000, "views": 1, "input": 448},
        "metrics": every,
        "training": {"images_per_s": 900.0, "seconds": 500.0, "peak_memory": 2.0**33},
    }
    fields |= {key: changes.pop(key) for key in list(changes) if key in Record.model_fields}
    run = Run.model_validate(settings | {"recipe": recipe | changes.pop("recipe", {})} | changes)
    names = (run.dataset, run.protocol, method, run.variant, run.backbone, run.image_size, run.recipe.epochs, seed)
    return _record(run, names, fields)


def _record(run: AnyRun, names: tuple[object, ...], fields: dict[str, Any]) -> Record:
    name = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in "-".join(map(str, names)))
    common: dict[str, Any] = {
        "id": name,
        "hash": run.hash,
        "experiment": run.experiment,
        "run": run,
        "status": "done",
        "started": WHEN,
        "commit": "abc1234",
        "clean": True,
        "versions": {"torch": "2.8.0"},
        "hardware": {"device": "cuda", "name": "NVIDIA H200"},
    }
    return Record(**(common | fields))


def failed(method: str, seed: int = 0, error: str = "CUDA out of memory", **changes: Any) -> Record:
    nothing = {"metrics": {}, "training": {}, "model": {}, "split": {}}
    return trained(method, seed, status="failed", error=error, **(nothing | changes))


def profiled(method: str, rate: float = 2000.0, batch_size: int = 64, **changes: Any) -> Record:
    speed = {
        mode: Speed(
            batch_size=batch_size,
            images_per_s=rate * share,
            images_per_s_p10=rate * share * 0.9,
            images_per_s_p90=rate * share * 1.1,
            latency_ms=5.0 if mode == "inference" else None,
            peak_memory=int(share * 2**33),
        )
        for mode, share in (("train", 0.3), ("inference", 1.0))
    }
    settings = {"method": method, "variant": "paper", "backbone": "resnet50", "classes": SPLIT["classes"]}
    settings |= {"image_size": 448, "batch_size": batch_size, "precision": "bf16", "device": "cuda"}
    fields = {"speed": speed, "seconds": 60.0, "model": {"parameters": 25_600_000, "flops": 16_500_000_000, "views": 1}}
    fields |= {key: changes.pop(key) for key in list(changes) if key in Record.model_fields}
    run = ProfileRun.model_validate(settings | {"hardware": "NVIDIA H200"} | changes)
    return _record(run, ("profile", method, run.variant, batch_size), fields)


def at_one_rate(batch_size: int) -> dict[Mode, Speed]:
    """Both modes, as fast at each batch size: a sweep ends after three."""
    rates = {"images_per_s": 100.0, "images_per_s_p10": 100.0, "images_per_s_p90": 100.0}
    speed = Speed(batch_size=batch_size, peak_memory=1, **rates)
    return {"inference": speed, "train": speed}


def history(seed: int = 0, epochs: int = 10, top1: float = 0.8) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    noise = np.random.default_rng(seed).normal(0, 0.01, epochs)
    accuracy = top1 * (1 - np.exp(-epoch / epochs * 4)) + noise
    loss = 4 * np.exp(-epoch / epochs * 5 * top1) + 3 * np.abs(noise)
    rates = {"lr": 0.01, "images_per_s": 900.0, "seconds": 5.0, "validation_top1": np.nan}
    return pd.DataFrame({"epoch": epoch, "phase": "all", "loss": loss, "test_top1": accuracy} | rates)


def predictions(right: list[bool] | np.ndarray, selection: Selection = "last") -> pd.DataFrame:
    """One image per truth value: class 0 is right, class 1 is not."""
    guess = np.where(np.asarray(right), 0, 1)
    images = [f"image {place}.jpg" for place in range(len(guess))]
    columns = {"selection": selection, "image": images, "label": 0, "prediction": guess}
    return pd.DataFrame(columns | {"confidence": 0.9, "log_loss": 0.1, "top5": [[0, 1, 2, 3, 4]] * len(guess)})


def prediction_table(right: list[bool] | np.ndarray) -> pyarrow.Table:
    """`predictions` as a report reads them."""
    return pyarrow.Table.from_pandas(predictions(right))


def columns(table: pd.DataFrame) -> Columns:
    """A history as a report reads it."""
    return {str(name): values.to_numpy() for name, values in table.items()}


def fill(store: ResultStore, records: list[Record], images: int = 0) -> None:
    """Writes the records, with histories, and with predictions of `images` images if there are to be any."""
    for record in records:
        last = record.metrics.get("last")
        if last is None:
            store.write(record)
            continue
        assert isinstance(record.run, Run)
        seed = record.run.seed
        random = np.random.default_rng([seed, *record.id.encode()])
        table = predictions(random.random(images) < last.top1) if images else None
        store.write(record, history(seed, record.run.recipe.epochs, last.top1), table)


def make_old(folder: Path, **values: Any) -> None:
    """Rewrites the record in a Run's folder as if it were from before checksums, with other `values` if any."""
    path = folder / "record.json"
    stored = json.loads(path.read_text(encoding="utf-8")) | {"checksums": {}} | values
    path.write_text(json.dumps(stored), encoding="utf-8")


def keep(
    store: ResultStore,
    variant: str,
    right: int,
    seeds: tuple[int, ...] = (0, 1, 2),
    images: int = 100,
    method: str = "ws_dan",
    **changes: Any,
) -> None:
    """Stores finished Runs that get the first `right` images right, and seed s another s."""
    for seed in seeds:
        answers = np.arange(images) < right + seed
        store.write(trained(method, seed, right / images, variant=variant, **changes), predictions=predictions(answers))
