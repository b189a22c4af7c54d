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

import methods
from benchmarks.environment import Environment, Execution
from benchmarks.execution import execute, worker
from benchmarks.planning import expand
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.compiling import compile
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.losses import Diverged
from benchmarks.training.networks.trained_run import predict
from benchmarks.training.train import Trainer
from methods.plain.model import Plain
from results.errors import ResultsError
from results.files import write_whole
from results.record import Record
from results.settings import AnyRun, CompileMode, Run
from results.store import CHECKPOINT, WEIGHTS, ResultStore
from tests.helpers.small_training import Interrupts

SMALL = {"classes": 3, "train_per_class": 8, "test_per_class": 4, "size": 32}
RECIPE = {"image_size": 32, "stored_size": 32, "batch_size": 5, "epochs": 3, "validation": 0.25}
SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain"],
                "datasets": [{"name": "synthetic", "options": SMALL}],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 1,
                "set": {"recipe": RECIPE},
            }
        ],
    }
)
QUIET = Console(quiet=True)


def runs_of(here: Environment, **changes: object) -> list[AnyRun]:
    return expand.expand(SUITE, here, Changes(**changes))


def one_run(here: Environment, **changes: object) -> Run:
    (run,) = runs_of(here, **changes)
    assert isinstance(run, Run)
    return run


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ResultStore, Record]:
    """A Run that was carried out in this process; for tests that only read."""
    run, store = one_run(Environment()), ResultStore(tmp_path_factory.mktemp("trained"))
    assert execute.execute([run], store, Environment(), QUIET).done == [run.id]
    record = store.read(run.id)
    assert record is not None
    return run, store, record


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_record_has_how_its_training_was_compiled(
    mode: CompileMode, store: ResultStore, trained: tuple[Run, ResultStore, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "BACKEND", lambda graph, inputs, **options: graph.forward)
    here = Environment(execution=Execution(compile=True, compile_mode=mode))
    record = worker.carry_out(trained[0], store, here, Silent())
    assert (record.status, record.error, record.compiled) == ("done", None, mode)
    assert record.hash == trained[2].hash
    assert trained[2].compiled is None


def test_a_record_notes_what_took_much_of_the_time_besides_the_steps(
    store: ResultStore, trained: tuple[Run, ResultStore, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "NOTABLE_SHARE", 0.0)
    notes = worker.carry_out(trained[0], store, Environment(), Silent()).notes
    assert [note.partition(" took ")[0] for note in notes] == ["evaluations", "waiting for checkpoints"]


def test_a_run_leaves_a_whole_record(trained: tuple[Run, ResultStore, Record]) -> None:
    run, store, record = trained
    assert record.status == "done"
    assert record.run == run
    assert record.split["sha256"] == run.split_sha256
    assert (record.split["train"], record.split["validation"], record.split["test"]) == (18, 6, 12)
    assert set(record.metrics) == {"last", "validation", "best_on_test"}
    assert record.metrics["last"].epoch == 3
    assert record.metrics["best_on_test"].top1 >= record.metrics["last"].top1
    assert record.versions["torch"] in (torch.__version__, torch.__version__.split("+")[0])
    assert record.hardware["device"] == "cpu"
    history = store.history(run.id)
    assert history is not None
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["images"].tolist() == [18, 18, 18]
    assert not (store.root / run.id / CHECKPOINT).exists()


def test_every_test_image_has_one_row_per_selection_and_the_rows_give_the_metrics(
    here: Environment, trained: tuple[Run, ResultStore, Record]
) -> None:
    run, store, record = trained
    predictions = store.predictions(run.id)
    assert predictions is not None
    dataset = here.open(run.dataset, run.dataset_options)
    test = [path for path, train in zip(dataset.paths, dataset.is_train, strict=True) if not train]
    for selection, rows in predictions.groupby("selection"):
        assert rows["image"].tolist() == test
        metrics = record.metrics[selection]  # type: ignore[index]
        assert (rows["prediction"] == rows["label"]).mean() == pytest.approx(metrics.top1)
        assert rows["log_loss"].mean() == pytest.approx(metrics.log_loss, rel=1e-5)
        assert rows["top5"].map(len).eq(3).all()


def test_weights_that_are_spoilt_by_the_last_step_are_not_recorded_as_done(
    here: Environment, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: Plain) -> None:
        self.head.weight.fill_(float("nan"))

    run = one_run(here, set={"recipe": {"epochs": 1, "batch_size": 18}})
    monkeypatch.setattr(methods.load("plain"), "after_step", spoil)
    assert execute.execute([run], store, here, QUIET).failed == [run.id]
    record = store.read(run.id)
    assert record is not None
    assert "logits" in (record.error or "")


def test_a_recipe_without_validation_says_so_instead_of_a_number(here: Environment, store: ResultStore) -> None:
    run = one_run(here, set={"recipe": {"validation": 0.0}})
    execute.execute([run], store, here, QUIET)
    record = store.read(run.id)
    assert record is not None
    assert "validation" not in record.metrics
    assert "validation" in record.missing["metrics.validation"]


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


def test_the_record_of_a_resumed_run_names_the_threads_that_it_was_begun_with(
    here: Environment, store: ResultStore
) -> None:
    run, before = one_run(here), torch.get_num_threads()
    interrupting = Environment(execution=Execution(checkpoint_seconds=0))
    try:
        torch.set_num_threads(2)
        with pytest.raises(KeyboardInterrupt):
            Trainer(run, interrupting, store.folder(run.id), Interrupts(3)).train()
        torch.set_num_threads(1)
        record = worker.carry_out(run, store, here, Silent())
    finally:
        torch.set_num_threads(before)
    assert (record.training["threads"], record.hardware["threads"]) == (2, 2)
    assert record.hardware["name"].endswith(", 2 threads")


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


def test_a_diverging_run_is_recorded_as_failed_with_its_loss_terms(
    here: Environment, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_a_number(self: Plain, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cross_entropy": self(images).sum() * float("nan")}

    monkeypatch.setattr(methods.load("plain"), "losses", not_a_number)
    run = one_run(here)
    assert execute.execute([run], store, here, QUIET).failed == [run.id]
    record = store.read(run.id)
    assert record is not None
    assert record.error is not None
    assert record.error.startswith(Diverged.__name__)
    assert "cross_entropy" in record.error
    assert (record.details["epoch"], record.details["batch"]) == (1, 1)
    assert "no step was made before it" in record.error  # so that no learning rate can be at fault


def test_a_method_may_take_several_steps_a_batch(
    here: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stepped = []

    def two_steps(self: Plain, images: torch.Tensor, labels: torch.Tensor):
        yield {"first": self.losses(images, labels)["cross_entropy"]}
        yield {"second": self.losses(images, labels)["cross_entropy"]}

    kind = methods.load("plain")
    monkeypatch.setattr(kind, "steps", two_steps)
    monkeypatch.setattr(kind, "after_step", lambda self: stepped.append(1))
    run = one_run(here, set={"recipe": {"epochs": 1}})
    trainer = Trainer(run, here, tmp_path, Silent())
    trained = trainer.train()
    assert len(stepped) == 2 * 4  # 18 images in batches of 5
    assert {"loss.first", "loss.second"} <= set(trained.state.history[0])


def test_two_phases_train_what_they_say(here: Environment, store: ResultStore) -> None:
    entry = SUITE.train[0].model_dump() | {"methods": ["bilinear_cnn"]}
    (run,) = expand.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)
    execute.execute([run], store, here, QUIET)
    history = store.history(run.id)
    assert history is not None
    assert history["phase"].tolist() == ["classifier", "all", "all"]


def test_a_last_step_after_the_epochs_counts_for_the_last_epoch_alone(here: Environment, store: ResultStore) -> None:
    entry = SUITE.train[0].model_dump() | {"methods": ["bilinear_cnn:svm"]}
    (run,) = expand.expand(Suite.model_validate({"about": "x", "train": [entry]}), here)
    assert execute.execute([run], store, here, QUIET).failed == []
    record = store.read(run.id)
    assert record is not None
    assert set(record.metrics) == {"last"}
    assert "last step" in record.missing["metrics.best_on_test"]
    assert record.model["views"] == 2


def test_a_profile_run_records_ordered_rates_and_memory(here: Environment, store: ResultStore) -> None:
    suite = {
        "about": "x",
        "profile": [{"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [32], "batch_sizes": [4]}],
    }
    runs = expand.expand(Suite.model_validate(suite), here, Changes(only={"job": "profile"}))
    assert execute.execute(runs, store, here, QUIET).done == [runs[0].id]
    record = store.read(runs[0].id)
    assert record is not None
    for speed in record.speed.values():
        assert 0 < speed.images_per_s_p10 <= speed.images_per_s <= speed.images_per_s_p90
    assert record.speed["train"].peak_memory >= record.speed["inference"].peak_memory > 0
    assert record.model["flops"] > 0


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
