"""What the record of a Run says: accuracies, predictions, phases, and what went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import methods
from benchmarks.environment import Environment, Execution
from benchmarks.execution import execute, worker
from benchmarks.planning import expand
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from benchmarks.training.compiling import compile
from benchmarks.training.listener import Silent
from benchmarks.training.losses import Diverged
from benchmarks.training.train import Trainer
from methods.interface import Gather
from methods.plain.model import Plain
from results.record import Record
from results.settings import CompileMode, Run
from results.store import CHECKPOINT, ResultStore
from tests.helpers.fakes.fake_stages import stand_in_for_plain
from tests.helpers.small_plans import QUIET, SUITE, one_run
from tests.helpers.small_training import Interrupts


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
    def spoil(self: Plain, gather: Gather) -> None:
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
    monkeypatch.setattr(kind, "after_step", lambda self, gather: stepped.append(1))
    run = one_run(here, set={"recipe": {"epochs": 1}})
    trainer = Trainer(run, here, tmp_path, Silent())
    trained = trainer.train()
    assert len(stepped) == 2 * 4  # 18 images in batches of 5
    assert {"loss.first", "loss.second"} <= set(trained.state.history[0])


def test_readouts_are_recorded_beside_the_metrics(
    here: Environment, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_for_plain(monkeypatch)
    run = one_run(here, set={"recipe": {"epochs": 1}})
    assert execute.execute([run], store, here, QUIET).failed == []
    record = store.read(run.id)
    assert record is not None
    assert {name: (one.views, one.epoch) for name, one in record.readouts.items()} == {
        "mirrored": (1, 1),
        "both": (2, 1),
    }
    assert set(record.metrics) >= {"last"}


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
