"""Several processes on one results folder: no Run is done twice, none is lost, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import time
from collections import Counter
from contextlib import AbstractContextManager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.console import Console

from benchmarks import isolation
from benchmarks.environment import Environment
from benchmarks.execution import cluster_jobs, execute, heartbeat, locks, worker
from benchmarks.gpu import Gpu, asked
from benchmarks.planning import expand
from benchmarks.planning.suite import Suite
from benchmarks.training.listener import Listener
from results.errors import ResultsError
from results.record import Record
from results.settings import AnyRun
from results.store import ResultStore

CPU = torch.device("cpu")
FORK = multiprocessing.get_context("fork")
SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain"],
                "datasets": [
                    {
                        "name": "synthetic",
                        "options": {"classes": 2, "train_per_class": 4, "test_per_class": 2, "size": 32},
                    }
                ],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 8,
                "set": {"recipe": {"image_size": 32, "stored_size": 32, "batch_size": 4, "epochs": 1}},
            }
        ],
    }
)


def write_down(store: ResultStore, *words: object) -> None:
    with (store.root / "journal.txt").open("a", encoding="utf-8") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


def pretend(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """Takes a moment, and writes down in a journal when it began and ended, and whom it met at the same Run."""
    busy = store.folder(case.id) / "busy"
    if busy.exists() and psutil.pid_exists(int(busy.read_text() or 0)):
        write_down(store, case.id, "collided")
    write_down(store, case.id, "began")
    busy.write_text(str(os.getpid()))
    time.sleep(random.uniform(0.05, 0.25))
    record = worker.blank(case, CPU)
    busy.unlink()
    store.write(record)
    write_down(store, case.id, "ended")
    return record


def pretend_together(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """`pretend`, once two processes have begun."""
    meet(store, case)
    return pretend(case, store, environment, listener)


def fail_together(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    meet(store, case)
    record = worker.blank(case, CPU)
    record.status, record.error = "failed", "on purpose"
    store.write(record)
    return record


def pretend_until_spoken_of(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    """`pretend`, once another process has said something in said.txt."""
    said, until = store.root / "said.txt", time.monotonic() + 60
    while not (said.exists() and said.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    return pretend(case, store, environment, listener)


def never_end(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    write_down(store, case.id, "began")
    time.sleep(600)
    raise AssertionError("was to be killed")


def meet(store: ResultStore, case: AnyRun) -> None:
    write_down(store, case.id, "met")
    until = time.monotonic() + 60
    while len(journal(store)) < 2 and time.monotonic() < until:
        time.sleep(0.01)


def work_on(runs: list[AnyRun], root: Path, carry_out: worker.CarryOut) -> None:
    random.seed()
    execute.execute(runs, ResultStore(root), Environment(), Console(quiet=True), carry_out=carry_out)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultStore:
    monkeypatch.setattr(execute, "POLL_SECONDS", 0.05)
    store = ResultStore(tmp_path)
    store.prepare()
    return store


@pytest.fixture
def runs(here: Environment) -> list[AnyRun]:
    return expand.expand(SUITE, here)


def start(runs: list[AnyRun], store: ResultStore, carry_out: worker.CarryOut = pretend) -> BaseProcess:
    process = FORK.Process(target=work_on, args=(runs, store.root, carry_out))
    process.start()
    return process


def journal(store: ResultStore) -> list[str]:
    return (store.root / "journal.txt").read_text(encoding="utf-8").splitlines()


def test_three_processes_killed_at_random_do_every_run_once(runs: list[AnyRun], store: ResultStore) -> None:
    team = [start(runs, store) for _ in range(3)]
    chance = random.Random(0)
    for _ in range(12):
        time.sleep(chance.uniform(0, 0.15))
        place = chance.randrange(3)
        team[place].kill()
        team[place].join()
        team[place] = start(runs, store)
    for process in team:
        process.join(60)
    assert [process.exitcode for process in team] == [0, 0, 0]
    records = [store.read(run.id) for run in runs]
    assert [record.status for record in records if record] == ["done"] * 8
    lines = journal(store)
    assert not [line for line in lines if "collided" in line]
    for run in runs:
        ends = [number for number, line in enumerate(lines) if line == f"{run.id} ended"]
        begins = [number for number, line in enumerate(lines) if line == f"{run.id} began"]
        assert len(ends) <= 1  # none at all where the kill fell between the record and the journal
        assert not ends or max(begins) < ends[0], f"{run.id} was begun again after it was done"


def store_on_a_full_disk(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener) -> Record:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    record = worker.blank(case, CPU)
    store.write(record)
    return record


def test_one_on_a_full_disk_and_one_that_is_killed_lose_no_run_and_double_none(
    runs: list[AnyRun], store: ResultStore
) -> None:
    full, doomed, other = start(runs, store, store_on_a_full_disk), start(runs, store, never_end), start(runs, store)
    full.join(60)
    while not (store.root / "journal.txt").exists():
        time.sleep(0.005)
    doomed.kill()
    other.join(60)
    assert (full.exitcode, other.exitcode) == (1, 0)
    records = [store.read(run.id) for run in runs]
    assert [record.status for record in records if record] == ["done"] * 8
    counts = Counter(line for line in journal(store) if "ended" in line or "collided" in line)
    assert counts == {f"{run.id} ended": 1 for run in runs}


def test_undisturbed_they_share_the_runs_and_each_counts_what_the_others_did(
    runs: list[AnyRun], store: ResultStore
) -> None:
    other = start(runs, store, pretend_together)
    summary = execute.execute(runs, store, Environment(), Console(quiet=True), carry_out=pretend_together)
    other.join(60)
    assert Counter(line.split()[1] for line in journal(store)) == {"met": 8, "began": 8, "ended": 8}
    assert summary.elsewhere
    assert summary.done
    assert sorted(summary.done + summary.elsewhere + summary.skipped) == sorted(run.id for run in runs)


def test_what_failed_in_other_hands_is_not_tried_again_at_once_but_by_the_next_start(
    runs: list[AnyRun], store: ResultStore
) -> None:
    other = start(runs, store, fail_together)
    summary = execute.execute(runs, store, Environment(), Console(quiet=True), carry_out=fail_together)
    other.join(60)
    tried = Counter(line.split()[0] for line in journal(store))
    assert set(tried.values()) == {1}
    assert sorted(summary.failed) == sorted(run.id for run in runs)
    again = execute.execute(runs, store, Environment(), Console(quiet=True), carry_out=pretend)
    assert sorted(again.done) == sorted(run.id for run in runs)


def test_a_run_in_other_hands_is_left_to_them_with_a_word_and_waited_for(
    here: Environment, runs: list[AnyRun], store: ResultStore
) -> None:
    other = start(runs[:1], store, pretend_until_spoken_of)
    while heartbeat.read(store.folder(runs[0].id)) is None:
        time.sleep(0.005)
    said = store.root / "said.txt"
    with said.open("w", encoding="utf-8") as file:
        console = Console(file=file, width=300)
        summary = execute.execute(runs[:1], store, here, console, carry_out=pretend)
    other.join(60)
    assert summary.elsewhere == [runs[0].id]
    assert f"left to process {other.pid} on" in said.read_text(encoding="utf-8")


def measure_alone(device: str, told: Any, waited_for: Any) -> None:
    def wait() -> None:
        told.put("waits")
        waited_for.set()

    with locks.device_lock(device, wait):
        told.put("began")
        assert waited_for.wait(60)
        told.put("ended")


def test_two_measurements_on_one_device_follow_each_other() -> None:
    device, told, waited_for = f"test-{os.getpid()}", FORK.SimpleQueue(), FORK.Event()
    both = [FORK.Process(target=measure_alone, args=(device, told, waited_for)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    words = [told.get() for _ in range(5)]  # a simple queue keeps the order of all processes' words
    assert told.empty()
    assert [word for word in words if word != "waits"] == ["began", "ended", "began", "ended"]
    assert words.index("waits") < words.index("ended")


class Waits(Exception):  # noqa: N818 - reads as what it is
    """A measurement would have to wait for another."""


def test_a_gpu_has_one_lock_whatever_number_it_has_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def measures(uuid: str) -> AbstractContextManager[None]:
        asked.cache_clear()
        monkeypatch.setattr(isolation, "run_isolated", lambda *_, **__: Gpu("H200", uuid, 1, 1))
        return locks.device_lock("cuda", wait)

    def wait() -> None:
        raise Waits

    one, other = f"GPU-{os.getpid()}", f"GPU-{os.getpid()}-other"
    with measures(one):
        with measures(other):
            pass
        with pytest.raises(Waits), measures(one):
            pass
    asked.cache_clear()


def test_a_claim_ends_with_the_process_that_holds_it(runs: list[AnyRun], store: ResultStore) -> None:
    folder = store.folder(runs[0].id)
    other = start(runs[:1], store, never_end)
    while not (store.root / "journal.txt").exists():
        assert other.is_alive()
        time.sleep(0.005)
    with locks.run_lock(folder) as locked:
        assert not locked
    other.kill()
    other.join()
    with locks.run_lock(folder) as locked:
        assert locked


def test_a_folder_that_takes_no_claim_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / locks.FILE).mkdir()
    with pytest.raises(ResultsError, match=r"\.lock"), locks.run_lock(tmp_path):
        pass


def test_a_user_that_the_system_has_no_name_for_can_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is started with a number for its user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**20 + 7)
    with locks.device_lock("test-of-names", lambda: None):
        pass
    cluster_jobs.slurm_queue()
