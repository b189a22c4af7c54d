"""Carries out a plan: what is done stays done, what fails is recorded, the others go on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from safetensors.torch import save_file

from benchmarks import checkpoint, machine, profile, recipes
from benchmarks.build import state_on_cpu
from benchmarks.display import EVALUATION_COST, Display
from benchmarks.evaluate import metrics, prediction_table
from benchmarks.plan import Place, images_to_process
from benchmarks.settings import AnyRun, ProfileRun, Run
from benchmarks.train import Trainer
from results.record import SELECTIONS, Record
from results.store import REFERENCE, ResultsError, ResultStore, write_whole

WEIGHTS = "weights.safetensors"
PROFILE_WORK = 4000.0
"""What a profile Run counts for in the time left, in trained images: a guess, it takes some 15 seconds."""


@dataclass
class Summary:
    """What became of a plan's Runs, by their ids."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def execute(plan: Sequence[AnyRun], store: ResultStore, place: Place, console: Console) -> Summary:
    """Runs what has no finished record yet, one after another.

    A Run that raises is recorded as failed and the next one begins; a folder that can't be written stops the plan
    (`ResultsError`), and so does Ctrl-C: what was finished stays, and the Run that was on goes on from its last epoch.
    """
    store.prepare()
    store.records()  # one that can't be read is said now, not after hours of training
    done = {case.id for case in plan if (known := store.read(case.id)) is not None and known.status == "done"}
    summary = Summary()
    work = {case.id: 0.0 if case.id in done else work_of(case, place) for case in plan}
    with Display(console, len(plan), sum(work.values())) as display:
        for case in plan:
            display.run_begins(case.label)
            if case.id in done:
                summary.skipped.append(case.id)
                continue
            before = display.done
            record = _run_recorded(case, store, place, display)
            (summary.done if record.status == "done" else summary.failed).append(case.id)
            display.run_ends(_outcome(record), work[case.id], before)
    store.index()
    return summary


def work_of(case: AnyRun, place: Place) -> float:
    """What a case counts for in the time left, in trained images."""
    if not isinstance(case, Run):
        return PROFILE_WORK
    trained, evaluated = images_to_process(case, place)
    return trained + evaluated * EVALUATION_COST


def _run_recorded(case: AnyRun, store: ResultStore, place: Place, display: Display) -> Record:
    began = time.monotonic()
    record = _blank(case, torch.device(place.device))
    try:
        if isinstance(case, Run):
            _train(case, record, store, place, display)
        else:
            _profile(case, record, store)
    except ResultsError:
        raise
    except Exception as error:  # the boundary: whatever a method, a dataset or a device raises ends one Run only
        record.status = "failed"
        record.error = f"{type(error).__name__}: {error}".splitlines()[0]
        record.traceback = "".join(traceback.format_exception(error))
        record.seconds = time.monotonic() - began
        store.write(record)
    return record


def _blank(case: AnyRun, device: torch.device) -> Record:
    commit, clean = machine.commit()
    return Record(
        id=case.id,
        hash=case.hash,
        status="done",
        run=case.model_dump(mode="json"),
        commit=commit,
        clean=clean,
        versions=machine.versions(),
        hardware=machine.hardware(device),
    )


def _train(run: Run, record: Record, store: ResultStore, place: Place, display: Display) -> None:
    folder = store.folder(run.id)
    began = time.monotonic()
    trainer = Trainer(run, place, folder, display)
    trained = trainer.train()
    progress = trained.progress
    labels = torch.from_numpy(trainer.dataset.labels[trained.test_rows])
    record.metrics = {name: metrics(chosen.logits, labels, chosen.epoch) for name, chosen in progress.chosen.items()}
    record.split = {
        "sha256": trainer.dataset.split_hash,
        "classes": len(trainer.dataset.classes),
        "class_names": list(trainer.dataset.classes),
        **trained.counts,
    }
    if trainer.dataset.subsets:
        record.split["subsets"] = list(trainer.dataset.subsets)
    record.weights = trained.weights
    record.model = {
        "parameters": sum(parameter.numel() for parameter in trained.method.parameters()),
        "views": trained.method.views,
        "input": run.recipe.image_size,
    }
    record.training = {"images_per_s": trained.images_per_s, "seconds": trained.training_seconds}
    if trained.peak_memory is not None:
        record.training["peak_memory"] = trained.peak_memory
    for name in set(SELECTIONS) - set(progress.chosen):
        record.missing[f"metrics.{name}"] = (
            "the method's last step comes after the epochs: none of them was evaluated with it"
            if trainer.finished
            else f"no image is held out of train (validation: {run.recipe.validation})"
        )
    if run.protocol == "paper" and run.options == recipes.options_of(run.method, run.variant):
        answered = recipes.answered(run.method, variant=run.variant, dataset=run.task, backbone=run.backbone)
        record.published = [row.model_dump() for row in answered]
    record.resumed = progress.resumed
    record.seconds = progress.seconds if progress.resumed else time.monotonic() - began
    logits = {name: chosen.logits for name, chosen in progress.chosen.items()}
    write_whole(folder / WEIGHTS, lambda path: save_file(dict(state_on_cpu(trained.method)), path))
    store.write(
        record,
        history=pd.DataFrame(progress.history),
        predictions=prediction_table(trainer.dataset, trained.test_rows, logits),
    )
    checkpoint.discard(folder)


def _profile(run: ProfileRun, record: Record, store: ResultStore) -> None:
    began = time.monotonic()
    if run.device == "cuda":
        torch.cuda.empty_cache()  # the other process shall find the whole device
    measured: dict[str, Any] = profile.measure_apart(run)
    record.speed, record.model = measured["speed"], measured["model"]
    record.seconds = time.monotonic() - began
    store.write(record)


def _outcome(record: Record) -> str:
    """A Run's end in a few words."""
    if record.status == "failed":
        return f"failed: {record.error} (its traceback is in record.json)"
    if record.metrics:
        last = record.metrics["last"]
        return f"top-1 {100 * last.top1:.1f} % after epoch {last.epoch}, {record.seconds:.0f} s"
    rates = {mode: f"{mode} {speed.images_per_s:.0f} images/s" for mode, speed in record.speed.items()}
    return ", ".join(rates.values())


def run_folder(store: ResultStore, run_id: str) -> Path:
    """Where the files of a Run lie: below the root, or among the committed ones."""
    own = store.root / run_id
    return own if own.is_dir() else store.root / REFERENCE / run_id
