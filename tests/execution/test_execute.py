"""Runs from plan to record, on drawn images: trained, evaluated, recorded, resumed; and what can go wrong."""

from __future__ import annotations

import io
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.environment import Environment, Execution
from benchmarks.execution import execute, worker
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.listener import Listener
from benchmarks.training.networks.trained_run import predict
from benchmarks.training.train import Trainer
from results.errors import ResultsError
from results.files import write_whole
from results.record import Record
from results.settings import AnyRun, Run
from results.store import CHECKPOINT, WEIGHTS, ResultStore
from tests.helpers.small_plans import QUIET, one_run, runs_of


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    here: Environment,
    store: ResultStore,
    trained: tuple[Run, ResultStore, Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, uninterrupted, _ = trained
    save = checkpoint.save

    def interrupt_after_the_second_epoch(folder: Path, run_hash: str, state: dict[str, object]) -> None:
        save(folder, run_hash, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupt_after_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            execute.execute([run], store, replace(here, execution=Execution(checkpoint_seconds=0)), QUIET)
    assert store.read(run.id) is None
    execute.execute([run], store, here, QUIET)
    record = store.read(run.id)
    assert record is not None
    assert record.resumed == 1
    whole = load_file(uninterrupted.root / run.id / WEIGHTS)
    resumed = load_file(store.root / run.id / WEIGHTS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    rows = store.predictions(run.id)
    pd.testing.assert_frame_equal(rows, uninterrupted.predictions(run.id))


def test_a_damaged_checkpoint_is_not_trusted(here: Environment, store: ResultStore) -> None:
    run = one_run(here)
    (store.folder(run.id) / CHECKPOINT).write_bytes(b"PK\x03\x04 cut short")
    assert execute.execute([run], store, here, QUIET).done == [run.id]


def test_what_is_done_is_not_done_again_and_what_failed_is(
    here: Environment, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_of(here, seeds=2)

    def fails_for_the_first_seed(self: Trainer) -> None:
        if self.run.seed == 0:
            raise RuntimeError("out of luck\nsecond line")
        return train(self)

    train = Trainer.train
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", fails_for_the_first_seed)
        summary = execute.execute(runs, store, here, QUIET)
    assert (summary.failed, summary.done) == ([runs[0].id], [runs[1].id])
    failed = store.read(runs[0].id)
    assert failed is not None
    assert failed.error == "RuntimeError: out of luck"
    assert "fails_for_the_first_seed" in (failed.traceback or "")
    summary = execute.execute(runs, store, here, QUIET)
    assert (summary.done, summary.skipped, summary.failed) == ([runs[0].id], [runs[1].id], [])


def test_predict_gives_the_runs_own_probabilities(
    here: Environment, trained: tuple[Run, ResultStore, Record], tmp_path: Path
) -> None:
    from PIL import Image

    run, store, _ = trained
    dataset = here.open(run.dataset, run.dataset_options)
    rows = store.predictions(run.id)
    assert rows is not None
    first = rows[rows["selection"] == "last"].iloc[0]
    file = tmp_path / "bird.png"
    Image.fromarray(dataset.image(dataset.paths.index(first["image"]))).save(file)
    (found,) = predict(store, run.id[:20], [file], "cpu")
    name, probability = found["classes"][0]
    assert name == dataset.classes[first["prediction"]]
    assert probability == pytest.approx(first["confidence"], rel=1e-4)


def test_a_results_folder_that_cannot_be_written_stops_before_any_work(here: Environment, tmp_path: Path) -> None:
    blocked = tmp_path / "results"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(ResultsError, match="--results"):
        execute.execute(runs_of(here), ResultStore(blocked), here, QUIET)


def kill_the_first_and_fill_the_disk_at_the_third(
    case: AnyRun, store: ResultStore, environment: Environment, listener: Listener
) -> Record:
    assert isinstance(case, Run)
    if case.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if case.seed == 2:
        write_whole(
            store.folder(case.id) / "record.json", lambda _: Path("/dev/full").write_text("x", encoding="utf-8")
        )
    record = worker.blank(case, torch.device("cpu"))
    store.write(record)
    return record


def end_the_first(
    how: signal.Signals, case: AnyRun, store: ResultStore, environment: Environment, listener: Listener
) -> Record:
    assert isinstance(case, Run)
    if case.seed == 0:
        os.kill(os.getpid(), how)
        time.sleep(60)
    record = worker.blank(case, torch.device("cpu"))
    store.write(record)
    return record


def test_a_run_killed_in_its_own_process_fails_alone_and_a_full_disk_there_stops_the_plan(
    here: Environment, store: ResultStore
) -> None:
    runs = runs_of(here, seeds=4)
    with pytest.raises(ResultsError, match="No space left"):
        execute.execute(runs, store, here, QUIET, True, kill_the_first_and_fill_the_disk_at_the_third)
    killed, done, unwritten, untouched = (store.read(run.id) for run in runs)
    assert killed is not None
    assert killed.status == "failed"
    assert "memory ran out" in (killed.error or "")
    assert done is not None
    assert done.status == "done"
    assert unwritten is None
    assert untouched is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGSEGV])
def test_a_run_whose_process_a_signal_ends_has_failed_and_its_neighbours_go_on(
    how: signal.Signals, here: Environment, store: ResultStore
) -> None:
    first, second = runs_of(here, seeds=2)
    summary = execute.execute([first, second], store, here, QUIET, True, partial(end_the_first, how))
    assert (summary.failed, summary.done) == ([first.id], [second.id])
    record = store.read(first.id)
    assert record is not None
    assert how.name in (record.error or "")
    again = execute.execute([first, second], store, here, QUIET, True)
    assert (again.done, again.skipped) == ([first.id], [second.id])


def test_a_run_in_its_own_process_gives_the_same_weights_and_reports_its_progress(
    here: Environment, store: ResultStore, trained: tuple[Run, ResultStore, Record]
) -> None:
    run, in_this_process, _ = trained
    printed = io.StringIO()
    assert execute.execute([run], store, here, Console(file=printed, width=300), own_process=True).done == [run.id]
    assert [f"epoch {epoch}/3" in printed.getvalue() for epoch in (1, 2, 3)] == [True] * 3
    isolated, expected = (load_file(root / run.id / WEIGHTS) for root in (store.root, in_this_process.root))
    assert all(torch.equal(isolated[name], expected[name]) for name in expected)


def test_the_index_is_rebuilt_from_the_records(trained: tuple[Run, ResultStore, Record]) -> None:
    _, store, _ = trained
    before = store.index()
    (store.root / "index.csv").unlink()
    after = store.index()
    assert (store.root / "index.csv").is_file()
    pd.testing.assert_frame_equal(before, after)
    assert after.loc[0, "run.recipe.epochs"] == 3
