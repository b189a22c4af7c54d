"""Plans as jobs: options, which Runs are submitted, and a plan carried out by jobs of this machine. Slurm: slurm/."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import cluster, cluster_jobs, status
from benchmarks.execution.cluster import Job, Options, parse_options
from benchmarks.execution.cluster_jobs import Submitted, state_of
from benchmarks.execution.worker import attempt, blank
from benchmarks.planning.expand import expand
from benchmarks.planning.overrides import parse_assignments
from benchmarks.planning.suite import Suite
from results.record import Record
from results.settings import AnyRun, ProfileRun
from results.store import ResultStore
from tests.helpers.fakes.fake_results import at_one_rate

SMALL = {"classes": 2, "train_per_class": 4, "test_per_class": 2, "size": 32}
TRAINING = {
    "methods": ["plain"],
    "datasets": [{"name": "synthetic", "options": SMALL}],
    "backbones": [{"name": "test_resnet", "pretrained": "none"}],
    "seeds": 3,
    "set": {"recipe": {"image_size": 32, "stored_size": 32, "batch_size": 4, "epochs": 1}},
}
PROFILE = {"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [32], "batch_sizes": [4]}


@pytest.fixture
def runs(here: Environment) -> list[AnyRun]:
    return expand(Suite.model_validate({"about": "x", "train": [TRAINING]}), here)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Ids of the Runs that were handed to Slurm, submission by submission; none gets there."""
    found: list[list[str]] = []

    def take(job_of: Any, cases: Sequence[AnyRun], folder: Path, options: Options) -> dict[str, tuple[str, ...]]:
        found.append([case.id for case in cases])
        return {f"7_{number}": (case.id,) for number, case in enumerate(cases)}

    monkeypatch.setattr(cluster, "_submit_to_slurm", take)
    return found


def test_options_are_checked_and_what_is_for_sbatch_goes_through() -> None:
    given = {"partition": "gpu", "time": "90", "gpus": "1", "memory": "7.5", "sbatch.account": "a", "sbatch.qos": "b"}
    assert parse_options(given) == Options(
        partition="gpu", time=90, gpus=1, memory=7.5, sbatch={"account": "a", "qos": "b"}
    )
    with pytest.raises(UserError, match="did you mean 'partition'"):
        parse_options({"partiton": "gpu"})
    with pytest.raises(UserError, match="--cluster-option: time"):
        parse_options({"time": "soon"})
    with pytest.raises(UserError, match="--cluster-option: gpus"):
        parse_options({"gpus": "9" * 12})


def test_an_option_of_sbatch_may_have_several_settings_in_its_value() -> None:
    given = parse_assignments(["sbatch.export=ALL,HF_HOME=/scratch/hf"], "--cluster-option")
    assert parse_options(given).sbatch == {"export": "ALL,HF_HOME=/scratch/hf"}


def test_what_is_done_or_in_a_live_job_is_not_submitted(
    runs: list[AnyRun], here: Environment, tmp_path: Path, handed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path)
    first, second, third = (run.id for run in runs)
    monkeypatch.setattr(cluster_jobs, "slurm_queue", lambda: {"7_0": "pending"})
    assert [job.job for job in cluster.submit(runs[:2], store, here, "cpu", "slurm", Options())] == ["7_0", "7_1"]
    cluster.submit(runs, store, here, "cpu", "slurm", Options())
    assert handed == [[first, second], [second, third]]


def test_what_was_done_before_images_were_checked_is_not_submitted(
    runs: list[AnyRun], here: Environment, tmp_path: Path, handed: list[list[str]]
) -> None:
    store = ResultStore(tmp_path)
    store.write(blank(runs[0], torch.device("cpu")))
    today = [run.model_copy(update={"images_sha256": "a" * 64}) for run in runs]
    cluster.submit(today, store, here, "cpu", "slurm", Options())
    assert handed == [[today[1].id, today[2].id]]


ON_GPU = Options(gpus=1)


def measurements(here: Environment) -> list[AnyRun]:
    return expand(Suite.model_validate({"about": "x", "profile": [PROFILE | {"batch_sizes": [4, 8]}]}), here)


def test_a_measurement_is_done_wherever_slurm_made_it(
    here: Environment, tmp_path: Path, handed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, planned = ResultStore(tmp_path), measurements(here)
    monkeypatch.setattr(cluster_jobs, "slurm_queue", lambda: {"7_0": "running", "7_1": "pending"})
    cluster.submit(planned, store, here, "auto", "slurm", ON_GPU)
    there = planned[0].model_copy(update={"device": "cuda", "hardware": "NVIDIA H100"})
    store.write(blank(there, torch.device("cpu")))
    first, second = (cluster_jobs.without_machine(run, "cuda").id for run in planned)
    assert {row["run"]: row["state"] for row in status.rows(store)} == {there.id: "done", second: "waiting"}
    monkeypatch.setattr(cluster_jobs, "slurm_queue", dict)
    cluster.submit(planned, store, here, "auto", "slurm", ON_GPU)
    assert handed == [[first, second], [second]]


@pytest.mark.parametrize(
    ("device", "options", "answered"),
    [
        ("auto", ON_GPU, False),
        ("auto", Options(sbatch={"gres": "gpu:1"}), False),
        ("auto", Options(sbatch={"gpus_per_task": "1"}), False),
        ("auto", Options(sbatch={"gres": "tmp:9G"}), True),
        ("auto", Options(), True),
        ("cpu", ON_GPU, True),
        ("cuda", Options(), False),
    ],
)
def test_a_measurement_of_a_processor_is_none_of_a_gpu(
    device: str, options: Options, answered: bool, here: Environment, tmp_path: Path, handed: list[list[str]]
) -> None:
    store, (planned, _) = ResultStore(tmp_path), measurements(here)
    store.write(blank(planned, torch.device("cpu")))
    cluster.submit([planned], store, here, device, "slurm", options)
    assert len(handed) == (0 if answered else 1)


def test_sizes_beyond_the_end_of_a_sweep_are_not_submitted(
    here: Environment, tmp_path: Path, handed: list[list[str]]
) -> None:
    store = ResultStore(tmp_path)
    sweep = expand(Suite.model_validate({"about": "x", "profile": [PROFILE | {"batch_sizes": "sweep"}]}), here)
    for run in sweep[:3]:  # the second and third are no faster than the first
        record = blank(run, torch.device("cpu"))
        record.speed = at_one_rate(run.batch_size)
        store.write(record)
    cluster.submit(sweep, store, here, "auto", "slurm", Options())
    assert handed == []


def test_a_measurement_at_work_is_not_waiting_too(
    here: Environment, tmp_path: Path, handed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (planned, _) = ResultStore(tmp_path), measurements(here)
    monkeypatch.setattr(cluster_jobs, "slurm_queue", lambda: {"7_0": "running"})
    cluster.submit([planned], store, here, "auto", "slurm", Options())
    seen: list[Any] = []

    def looks_at_status(case: AnyRun, store: ResultStore, *_: object) -> Record:
        seen.extend((row["run"], row["state"]) for row in status.rows(store))
        return blank(case, torch.device("cpu"))

    attempt(planned, tmp_path, here, None, looks_at_status, lambda _: None)
    assert seen == [(planned.id, "running")]


def test_a_measurement_is_named_after_the_machine_that_makes_it(here: Environment) -> None:
    (run,) = expand(Suite.model_validate({"about": "x", "profile": [PROFILE]}), here)
    assert isinstance(run, ProfileRun)
    elsewhere = run.model_copy(update={"hardware": "the login node"})
    assert cluster.on_this_machine(elsewhere, here) == run


def test_the_state_of_a_slurm_job_is_that_of_the_queue(tmp_path: Path) -> None:
    job = Submitted(job="7_1", cluster="slurm", runs=("run",))
    assert state_of(job, {"7_1": "running"}, tmp_path) == "running"
    assert state_of(job, {"7_0": "running"}, tmp_path) == "gone"
    assert state_of(job, None, tmp_path) == "submitted"


def test_a_process_that_got_the_id_of_a_dead_job_is_not_the_job(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    job = Submitted(job=str(os.getpid()), cluster="local", runs=("run",))
    job.write(tmp_path)
    assert state_of(job, None, tmp_path) == "running"
    before_this_process = psutil.Process().create_time() - 60
    os.utime(tmp_path / "jobs" / f"{job.job}.json", (before_this_process, before_this_process))
    assert state_of(job, None, tmp_path) == "gone"


def test_a_queue_that_does_not_answer_is_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_jobs.subprocess, "run", refuse)
    assert cluster_jobs.slurm_queue() is None


def refuse(*_: object, **__: object) -> None:
    raise subprocess.CalledProcessError(1, "squeue")


def test_a_job_that_is_queued_again_has_the_same_to_do(runs: list[AnyRun], here: Environment, tmp_path: Path) -> None:
    job = Job(tuple(runs), tmp_path, here, "cpu")
    assert job.checkpoint().function == job


def test_two_jobs_on_this_machine_share_a_plan_and_status_shows_it_done(
    tmp_path: Path, fgbench: Callable[..., tuple[int, str]]
) -> None:
    suite, results = tmp_path / "suite.yaml", tmp_path / "results"
    suite.write_text(json.dumps({"about": "x", "train": [TRAINING]}), encoding="utf-8")
    words = ["run", str(suite), "--device", "cpu", "--results", str(results)]
    code, printed = fgbench(*words, "--cluster", "local", "--cluster-option", "parallel=2")
    assert code == 0, printed
    assert "2 jobs submitted" in printed
    jobs = cluster_jobs.read_all(results)
    until = time.monotonic() + 500
    while not all(job.ended(results) for job in jobs) and time.monotonic() < until:
        time.sleep(0.2)
    logs = [path.read_text(encoding="utf-8") for path in (results / "jobs").glob("*_log.*")]
    rows = json.loads(fgbench("status", "--json", "--results", results)[1])
    assert [row["state"] for row in rows] == ["done"] * 3, logs
    assert "0 jobs submitted" in fgbench(*words, "--cluster", "local")[1]


def test_without_slurm_the_answer_is_one_line(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, printed = refused("run", "quick", "--results", tmp_path, "--cluster", "slurm")
    assert code == 2
    assert "Slurm accepts no job" in printed
