"""A results folder that someone else made: no link in it is followed by what is written, and nothing in it is run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.environment import Environment
from benchmarks.errors import REFUSED
from benchmarks.execution import execute, heartbeat, locks
from benchmarks.training.networks.trained_run import predict
from results.errors import ResultsError
from results.record import Record
from results.store import CHECKPOINT, HISTORY, PREDICTIONS, PREVIOUS_CHECKPOINT, WEIGHTS, ResultStore
from tests.helpers.small_training import small_run

RUN = small_run()
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """One finished Run; for tests that only read."""
    store = ResultStore(tmp_path_factory.mktemp("trained"))
    assert execute.execute([RUN], store, Environment(), QUIET).done == [RUN.id]
    return store


def test_links_in_a_runs_folder_lead_nowhere(here: Environment, store: ResultStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious", encoding="utf-8")
    names = {CHECKPOINT, PREVIOUS_CHECKPOINT, WEIGHTS, HISTORY, PREDICTIONS, heartbeat.FILE, f".{heartbeat.FILE}"}
    for name in names:
        (store.folder(RUN.id) / name).symlink_to(victim)
    (store.root / "index.csv").symlink_to(victim)
    assert execute.execute([RUN], store, here, QUIET).done == [RUN.id]
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not any((store.root / RUN.id / name).is_symlink() for name in names - {f".{heartbeat.FILE}"})


@pytest.mark.parametrize("name", ["", locks.FILE, "tensorboard"])
def test_a_linked_folder_or_lock_stops_the_plan_with_its_name(
    name: str, here: Environment, store: ResultStore, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = store.root / RUN.id / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    here = replace(here, execution=replace(here.execution, tensorboard=True))
    with pytest.raises(ResultsError, match=f"{link.name}: is a link"):
        execute.execute([RUN], store, here, QUIET)
    assert list(elsewhere.iterdir()) == []


def test_nothing_is_locked_or_removed_behind_a_link_of_another_run(
    here: Environment, store: ResultStore, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / CHECKPOINT).touch()
    (store.root / "another").symlink_to(elsewhere)
    assert execute.execute([RUN], store, here, QUIET).done == [RUN.id]
    assert [path.name for path in elsewhere.iterdir()] == [CHECKPOINT]


def test_a_lock_of_another_run_that_is_a_link_does_not_stop_a_plan(
    here: Environment, store: ResultStore, tmp_path: Path
) -> None:
    folder = store.folder("another")
    (folder / CHECKPOINT).touch()
    (folder / locks.FILE).symlink_to(tmp_path / "elsewhere")
    assert execute.execute([RUN], store, here, QUIET).done == [RUN.id]


class Evil:
    """What its pickle does ends the process of the tests."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def hold_a_pickle_without_checksums(weights: Path, record: Record) -> Record:
    weights.write_bytes(pickle.dumps(Evil()))
    return record.model_copy(update={"checksums": {}})


def hold_a_pickle_beside_checksums(weights: Path, record: Record) -> Record:
    weights.write_bytes(pickle.dumps(Evil()))
    return record


def hold_no_file(weights: Path, record: Record) -> Record:
    weights.unlink()
    weights.mkdir()
    return record


def name_another_method(weights: Path, record: Record) -> Record:
    return record.model_copy(update={"run": record.run.model_copy(update={"method": "...os"})})


def load_a_file_in_timm(weights: Path, record: Record) -> Record:
    options = {"checkpoint_path": str(weights)}
    return record.model_copy(update={"run": record.run.model_copy(update={"backbone_options": options})})


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (hold_a_pickle_without_checksums, "is damaged"),
        (hold_a_pickle_beside_checksums, "its checksum does not fit"),
        (hold_no_file, "keeps no weights"),
        (name_another_method, "no method '...os'"),
        (load_a_file_in_timm, "has no option 'checkpoint_path'"),
    ],
)
def test_predict_runs_nothing_that_a_results_folder_holds(
    attack: Callable[[Path, Record], Record], said: str, trained: ResultStore, store: ResultStore
) -> None:
    record = trained.read(RUN.id)
    assert record is not None
    weights = store.folder(RUN.id) / WEIGHTS
    weights.write_bytes((trained.root / RUN.id / WEIGHTS).read_bytes())
    store.write(attack(weights, record))
    with pytest.raises((*REFUSED, ResultsError)) as caught:
        predict(store, RUN.id, [store.root / "any.png"], "cpu")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
