"""One Run, from its settings to its stored record. An error that it raises is recorded, too."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors.torch import save_file

from benchmarks import hardware
from benchmarks.environment import Environment
from benchmarks.estimates import images
from benchmarks.execution import cluster_jobs, locks, torchrun
from benchmarks.execution.heartbeat import HeartbeatWriter
from benchmarks.isolation import Send
from benchmarks.planning import published
from benchmarks.planning.phases import FORWARD_COST
from benchmarks.profiling import measure
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.checkpoints.state import TrainingState
from benchmarks.training.evaluate import metrics, prediction_table
from benchmarks.training.listener import Listener
from benchmarks.training.networks.build_method import state_on_cpu
from benchmarks.training.train import Trainer
from results.errors import ResultsError
from results.files import write_whole
from results.record import SELECTIONS, Estimate, Record
from results.settings import AnyRun, ProfileRun, Run
from results.store import WEIGHTS, ResultStore

PROFILE_WORK = 4000.0
"""Work of a profile Run in trained images, for estimates of the time left: a guess, it takes some 15 seconds."""
NOTABLE_SHARE = 0.25
"""Of a training's time: what takes more, and is no step of it, is noted in the record."""

CarryOut = Callable[..., Record]
"""`carry_out`, or what a test uses instead."""


class Attempt(NamedTuple):
    """The outcome of an attempt to carry out a Run."""

    record: Record | None
    """None if another process is working on it."""
    here: bool
    """Whether this attempt worked on it."""


def attempt(
    case: AnyRun, root: Path, environment: Environment, before: datetime | None, carry_out: CarryOut, send: Send
) -> Attempt:
    """Carries the Run out unless another process works on it, or has done so since the record that started at `before`.

    Raises `ResultsError` if the results can't be written.
    """
    store = ResultStore(root)
    folder = store.folder(case.id)
    with locks.run_lock(folder) as locked:
        if not locked:
            return Attempt(None, False)
        known = store.read(case.id)  # another process may have finished it just before we got the lock
        if known is not None and (known.status == "done" or known.started != before):
            return Attempt(known, False)
        if known is not None:
            store.begin_again(case.id)  # why it failed before is not its state any more
        work, submitted = work_of(case, environment), cluster_jobs.submitted_id(case)
        with HeartbeatWriter(folder, case.id, case.label, work, send, submitted) as listener:
            return Attempt(carry_out(case, store, environment, listener), True)


def work_of(case: AnyRun, environment: Environment) -> float:
    """The work of a Run in trained images, for estimates of the time left."""
    if not isinstance(case, Run):
        return PROFILE_WORK
    todo = images.of_run(case, environment)
    return todo.learnt + todo.evaluated * FORWARD_COST


def carry_out(
    case: AnyRun, store: ResultStore, environment: Environment, listener: Listener, estimate: Estimate | None = None
) -> Record:
    """Trains or measures, and stores the record; if the Run raises, a record that says so.

    The record gets the `estimate` that was made of how long the Run would take.

    Raises `ResultsError`, because results that can't be written concern every Run. With several processes it also
    raises errors that only some of them meet.
    """
    began = time.monotonic()
    record = blank(case, torch.device(environment.device))
    record.estimate = estimate
    try:
        if isinstance(case, Run):
            _train(case, record, store, environment, listener)
        else:
            _profile(case, record, store, environment, listener)
    except ResultsError:
        raise
    except Exception as error:  # the boundary: whatever a method, a dataset or a device raises ends one Run only
        record.status = "failed"
        record.error = f"{type(error).__name__}: {error}".splitlines()[0]
        record.details = getattr(error, "details", {})
        record.traceback = "".join(traceback.format_exception(error))
        record.seconds = time.monotonic() - began
        store.write(record)
        if torchrun.world_size() > 1 and not torchrun.raised_on_all_ranks(error):
            raise
    return record


def blank(case: AnyRun, device: torch.device) -> Record:
    """A record without results: the settings, the code's version and the machine."""
    commit, clean = hardware.commit()
    return Record(
        id=case.id,
        hash=case.hash,
        experiment=case.experiment,
        status="done",
        run=case,
        commit=commit,
        clean=clean,
        versions=hardware.versions(),
        hardware=hardware.hardware(device),
    )


def _train(run: Run, record: Record, store: ResultStore, environment: Environment, listener: Listener) -> None:
    folder = store.folder(run.id)
    began = time.monotonic()
    torchrun.broadcast_next(run, environment)
    device = torch.device(environment.device)
    sensors = hardware.GpuSensors(device)
    record.state["before"] = hardware.state(device, sensors)
    trainer = Trainer(run, environment, folder, listener)
    trained = trainer.train()
    record.state["after"] = hardware.state(device, sensors)
    progress = trained.state
    labels = torch.from_numpy(trainer.dataset.labels[trained.test_rows])
    record.metrics = {name: metrics(chosen.logits, labels, chosen.epoch) for name, chosen in progress.chosen.items()}
    record.branches, record.readouts = trained.branches, trained.readouts
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
    record.training |= {
        "micro_batch": trained.micro_batch,
        "processes": trained.processes,
        "threads": trained.threads,
    }
    # A resumed training keeps the threads it was begun with, which may not be those of this process.
    record.hardware |= {"name": hardware.device_name(trainer.device, trained.threads), "threads": trained.threads}
    if (parallel := progress.begun["parallel"]) > 1:
        record.training["parallel"] = parallel
        record.estimate = None  # it was of a training that has the device for itself
    record.training["evaluation_seconds"] = progress.evaluation_seconds
    record.training["checkpoint_seconds"] = progress.checkpoint_seconds
    if progress.images_before_cut:
        record.training["images_before_cut"] = progress.images_before_cut
    if trained.compile_seconds is not None:
        record.training["compile_seconds"] = trained.compile_seconds
        record.compiled = environment.execution.compile_mode
    record.notes = [*trained.notes, *_costly_between_steps(progress)]
    if environment.execution.checkpointing:
        record.notes.append("activations were computed again in the backward pass (--checkpointing)")
    if trained.peak_memory is not None:
        record.training |= {"peak_memory": trained.peak_memory, "resident_bytes": trained.resident_bytes}
    for name in set(SELECTIONS) - set(progress.chosen):
        record.missing[f"metrics.{name}"] = (
            "the method's last step comes after the epochs: none of them was evaluated with it"
            if trained.finished_by_method
            else f"no image is held out of train (validation: {run.recipe.validation})"
        )
    record.published, record.deviations = published.rows(run), published.deviations(run)
    record.changed = published.changed(run)
    record.resumed = progress.resumed
    record.seconds = progress.seconds if progress.resumed else time.monotonic() - began
    logits = {name: chosen.logits for name, chosen in progress.chosen.items()}
    write_whole(folder / WEIGHTS, lambda path: save_file(dict(state_on_cpu(trained.method)), path))
    store.write(
        record,
        history=pd.DataFrame(progress.history),
        predictions=prediction_table(trainer.dataset, trained.test_rows, logits),
        with_it=[WEIGHTS],
    )
    checkpoint.discard(folder)


def _costly_between_steps(state: TrainingState) -> list[str]:
    """Sentences on what took more than `NOTABLE_SHARE` of the training's time, and is no step of it."""
    taken = {"evaluations": state.evaluation_seconds, "waiting for checkpoints": state.checkpoint_seconds}
    shares = {what: seconds / state.seconds for what, seconds in taken.items()}
    return [
        f"{what} took {100 * share:.0f} % of the training's time"
        for what, share in shares.items()
        if share > NOTABLE_SHARE
    ]


def _profile(run: ProfileRun, record: Record, store: ResultStore, environment: Environment, listener: Listener) -> None:
    with locks.device_lock(run.device, lambda: listener.note("waiting for another measurement on this device")):
        began = time.monotonic()
        measure.measure(run, record, environment, store.folder(run.id))
    record.seconds = time.monotonic() - began
    store.write(record)
