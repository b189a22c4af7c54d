"""Several processes that train a Run together get the result of one process, or an error that says why not."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.training.distributed import Processes
from benchmarks.training.listener import Silent
from benchmarks.training.losses import Diverged
from benchmarks.training.train import Trainer
from methods.ops.attention.centres import Centres
from methods.plain.model import Plain
from results.record import ReadOut
from results.settings import Run
from tests.helpers.fakes.fake_stages import stand_in_for_plain
from tests.helpers.small_training import SWIN, Interrupts, equal, outcome, small_run, train

SGD: dict[str, Any] = {"optimizer": {"name": "sgd", "lr": 0.05}, "batch_size": 7}
"""18 images: batches of 7, 7 and 4, which two processes share as 3 and 4, and 2 and 2."""


def together(world: int, work: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """The result of `work(folder, *arguments)` in each of `world` processes, started as torchrun starts them."""
    folder.mkdir(parents=True, exist_ok=True)
    # As in torchrun, this process hosts the store: a free port that is only looked up may be taken a moment later.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.small_training"])
    given = (work, folder, *arguments)
    processes = [context.Process(target=_one, args=(rank, world, store.port, *given)) for rank in range(world)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
    finally:
        for process in processes:
            process.kill()
    assert [process.exitcode for process in processes] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def _one(rank: int, world: int, port: int, work: Callable[..., Any], folder: Path, *arguments: Any) -> None:
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ.update({name: str(value) for name, value in own.items()})
    torch.save(work(folder, *arguments), folder / f"{rank}.pt")


class CountsImages(Silent):
    images = 0

    def trained(self, images: int) -> None:
        self.images += images


def trained(folder: Path, run: Run) -> dict[str, Any]:
    listener = CountsImages()
    ended = Trainer(run, Environment(), folder, listener).train()
    return outcome(ended) | {"reported": listener.images, "processes": ended.processes}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_end_with_the_weights_of_one(accumulate: int, tmp_path: Path) -> None:
    """Without batch norm, with random crops and flips; a batch of 7 can't be cut into halves."""
    run = small_run(backbone=SWIN, **SGD, accumulate=accumulate, stored_size=40, clip_norm=1.0)
    alone = outcome(train(run, tmp_path / "alone"))
    first, second = together(2, trained, tmp_path / "two", run)
    assert first["processes"] == 2
    assert equal(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=1e-4, atol=2e-6)
    for one, other in zip(first["history"], alone["history"], strict=True):
        assert one["images"] == other["images"] == 18
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    logits, expected = (found["chosen"]["last"]["logits"] for found in (first, alone))
    assert logits.shape == (15, 3)  # every test image once, though two processes can't share 15 alike
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-5)
    assert (first["reported"], second["reported"]) == (36, 0), "only the first process reports progress"


def test_what_a_method_moves_after_a_step_is_moved_by_the_whole_batch(tmp_path: Path) -> None:
    """WS-DAN's centres, without batch norm and draws; each batch is cut into two pieces as well. The rate is low, since
    signed square roots make much of how sums are rounded."""
    options = {"attention": "first", "maps": 4, "crop": False, "drop": False, "two_views": False}
    slow = SGD | {"optimizer": {"name": "sgd", "lr": 1e-5}}
    run = small_run("ws_dan", backbone=SWIN, **slow, accumulate=2, options=options)
    alone = outcome(train(run, tmp_path / "alone"))
    assert alone["weights"]["centres.centres"].abs().min() > 0
    first, second = together(2, trained, tmp_path / "two", run)
    assert equal(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=1e-3, atol=2e-6)


def gathered(folder: Path, values: list[Tensor]) -> list[Tensor]:
    processes = Processes.join("cpu")
    own = processes.share(len(values[0]))
    gather = processes.gather_of_batch(len(values[0]))
    with pytest.raises(ValueError, match="one for each of the"):
        gather(torch.zeros(own.stop - own.start + 1))
    return [gather(one[own]) for one in values]


def test_tensors_of_unequal_shares_come_together_in_the_order_of_the_batch(tmp_path: Path) -> None:
    values = [torch.randn(7, 2, 3), torch.arange(7), torch.arange(7) % 2 == 0, torch.randn(7).bfloat16()]
    for found in together(3, gathered, tmp_path, values):
        assert all(torch.equal(one, whole) for one, whole in zip(found, values, strict=True))


def test_with_batch_norm_of_their_own_all_processes_end_with_the_same_method(tmp_path: Path) -> None:
    first, second = together(2, trained, tmp_path, small_run(**SGD))
    assert equal(first, second | {"reported": first["reported"]})


def test_processes_freeze_a_group_alike(tmp_path: Path) -> None:
    first, second = together(2, trained, tmp_path, small_run(**SGD, freeze={"backbone": 1}, clip_norm=1.0))
    assert equal(first, second | {"reported": first["reported"]})


def branches_of(folder: Path, run: Run) -> dict[str, float]:
    return Trainer(run, Environment(), folder, Silent()).train().branches


def test_branches_are_scored_on_every_test_image_once(tmp_path: Path) -> None:
    run = small_run("sef", backbone=SWIN, **SGD, epochs=1)
    alone = train(run, tmp_path / "alone").branches
    assert list(alone) == ["group 1", "group 2", "group 3", "group 4"]
    for found in together(2, branches_of, tmp_path / "two", run):
        assert found == pytest.approx(alone, abs=1.1 / 15)  # sums in another order may turn an answer


def readouts_of(folder: Path, run: Run) -> dict[str, ReadOut]:
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_plain(patch)
        return train(run, folder).readouts


def test_readouts_are_scored_on_every_test_image_once(tmp_path: Path) -> None:
    run = small_run(backbone=SWIN, **SGD, epochs=1)
    alone = readouts_of(tmp_path / "alone", run)
    assert list(alone) == ["mirrored", "both"]
    for found in together(2, readouts_of, tmp_path / "two", run):
        for name, one in found.items():
            assert one.log_loss == pytest.approx(alone[name].log_loss, rel=1e-3)
            assert one.top1 == pytest.approx(alone[name].top1, abs=1.1 / 15)  # sums in another order may turn an answer


def moved_centres(folder: Path, features: Tensor, labels: Tensor, duplicates: Any) -> Tensor:
    processes = Processes.join("cpu")
    centres = Centres(4, features.shape[1], duplicates=duplicates)
    own = processes.share(len(labels))
    for _ in range(2):
        centres.update(features[own], labels[own], processes.gather_of_batch(len(labels)))
    return centres.centres


@pytest.mark.parametrize("duplicates", ["all", "last"])
def test_centres_count_all_processes_once(duplicates: Any, tmp_path: Path) -> None:
    features, labels = torch.randn(9, 6), torch.tensor([0, 1, 1, 2, 0, 2, 1, 0, 0])
    expected = Centres(4, 6, duplicates=duplicates)
    for _ in range(2):
        expected.update(features, labels)
    for centres in together(3, moved_centres, tmp_path, features, labels, duplicates):
        torch.testing.assert_close(centres, expected.centres)


def interrupted(folder: Path, run: Run, batches: int) -> None:
    trainer = Trainer(run, Environment(execution=Execution(checkpoint_seconds=0)), folder, Silent())
    trainer.listener = Interrupts(batches)  # in every process
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def test_resumed_processes_end_with_the_same_bits(tmp_path: Path) -> None:
    run = small_run(**SGD, options={"dropout": 0.5})
    whole, _ = together(2, trained, tmp_path / "whole", run)
    together(2, interrupted, tmp_path / "cut", run, 5)
    first, second = together(2, trained, tmp_path / "cut", run)
    whole["reported"], first["reported"], second["reported"] = 0, 0, 0
    assert equal(first, whole)
    assert equal(second, whole)


def test_another_number_of_processes_can_resume_and_notes_it(tmp_path: Path) -> None:
    run = small_run(backbone=SWIN, **SGD)
    whole = outcome(train(run, tmp_path / "whole"))
    together(2, interrupted, tmp_path / "cut", run, 5)
    ended = train(run, tmp_path / "cut")
    assert ended.notes == ["begun by 2 processes and continued by 1"]
    torch.testing.assert_close(outcome(ended)["weights"], whole["weights"], rtol=1e-4, atol=2e-6)
    assert ended.state.history[1]["loss"] == pytest.approx(whole["history"][1]["loss"], rel=1e-5)


def diverges(folder: Path, run: Run) -> dict[str, Any]:
    losses, calls = Plain.losses, 0

    def spoilt(self: Plain, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        spoils = os.environ["RANK"] == "1" and calls == 2
        return {name: value * (float("nan") if spoils else 1) for name, value in losses(self, images, labels).items()}

    Plain.losses = spoilt  # type: ignore[method-assign]
    with pytest.raises(Diverged) as caught:
        Trainer(run, Environment(), folder, Silent()).train()
    return caught.value.details


def test_a_process_that_diverges_stops_all(tmp_path: Path) -> None:
    for details in together(2, diverges, tmp_path, small_run(**SGD)):
        assert (details["epoch"], details["batch"]) == (1, 2)
        assert details["losses"]["cross_entropy"] != details["losses"]["cross_entropy"]


def refused(folder: Path, run: Run) -> str:
    with pytest.raises(UserError) as caught:
        Trainer(run, Environment(), folder, Silent())
    return str(caught.value)


def test_synchronised_batch_norm_is_refused_on_cpus(tmp_path: Path) -> None:
    run = small_run(**SGD, sync_batchnorm=True)
    assert all("set sync_batchnorm to false" in message for message in together(2, refused, tmp_path, run))
    assert train(run, tmp_path / "alone").processes == 1, "one process has nothing to synchronise"
