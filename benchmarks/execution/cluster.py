"""Hands a plan to a cluster: Slurm, or this machine by the same road. Queueing and requeueing are submitit's.

On Slurm every Run is a task of one array, and so is a sweep over batch sizes, which ends by what it finds; on this
machine each of `parallel` jobs has the whole plan, and they share it by their claims. A job that is preempted, requeued
or out of time is queued again, and its Run goes on from its checkpoint.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from rich.console import Console

from benchmarks import hardware
from benchmarks.config import parse
from benchmarks.environment import Environment, choose_device
from benchmarks.errors import UserError
from benchmarks.execution import cluster_jobs, heartbeat
from benchmarks.execution.cluster_jobs import FOLDER, Cluster, Submitted
from benchmarks.execution.execute import execute
from benchmarks.planning import batch_sweep
from results.settings import AnyRun, ProfileRun, Settings
from results.store import ResultStore

try:
    import submitit
    from submitit.helpers import Checkpointable
except ImportError as missing:
    raise UserError("--cluster needs submitit: pip install '.[cluster]'") from missing

ROOT = Path(__file__).parents[2]
ARRAY = 1000
"""Tasks of one array at the most: what Slurm takes unless it is told otherwise."""
REQUEUES = 1000
"""How often a job that ran out of time is queued again; each time it has come further."""
UNLIMITED = 60 * 24 * 365
"""Minutes of a job on this machine."""


class Options(Settings):
    """What the jobs are given: `--cluster-option key=value`."""

    partition: str | None = None
    time: PositiveInt = 240
    """Minutes, after which a job is queued again."""
    gpus: NonNegativeInt = 0
    cpus: PositiveInt | None = None
    memory: PositiveFloat | None = None
    """GB"""
    parallel: PositiveInt | None = None
    """Jobs at a time: 64 on Slurm, one on this machine (each has a GPU of its own as long as there are any)."""
    sbatch: dict[str, str] = {}
    """Anything else that sbatch takes, by its long name."""


def options_of(assignments: Mapping[str, str]) -> Options:
    """`{"partition": "p", "sbatch.account": "a"}` -> options. Raises `UserError` with the nearest key."""
    values: dict[str, Any] = {key: value for key, value in assignments.items() if not key.startswith("sbatch.")}
    values["sbatch"] = {key.removeprefix("sbatch."): assignments[key] for key in assignments.keys() - values.keys()}
    return parse(Options, values, "--cluster-option")


@dataclass(frozen=True)
class Job(Checkpointable):
    """What a job does: a part of the plan, or all of it. Queued again, it starts again: Runs keep checkpoints."""

    cases: tuple[AnyRun, ...]
    root: Path
    environment: Environment
    device: str

    def __call__(self) -> None:
        os.environ[heartbeat.JOB] = submitit.JobEnvironment().job_id
        environment = replace(self.environment, device=choose_device(self.device))
        cases = [_on_this_machine(case, environment) for case in self.cases]
        execute(cases, ResultStore(self.root), environment, Console(), own_process=True)


def submit(
    plan: Sequence[AnyRun],
    store: ResultStore,
    environment: Environment,
    device: str,
    cluster: Cluster,
    options: Options,
) -> list[Submitted]:
    """Submits what has no finished record and no job yet, and returns at once.

    `device` is chosen where a job runs. Raises `UserError` if the cluster refuses, `ResultsError` if the results can't
    be written.
    """
    store.prepare()
    root = store.root.absolute()
    store.folder(FOLDER)
    if cluster == "slurm":
        plan = [cluster_jobs.wherever(case) for case in plan]
    done = {name for record in store.own() if record.status == "done" for name in cluster_jobs.names_of(record)}
    to_do = [case for case in plan if case.id not in done | _in_a_job(root)]
    if not to_do:
        return []
    hand_over = _to_slurm if cluster == "slurm" else _to_this_machine
    jobs = hand_over(lambda *cases: Job(cases, root, environment, device), to_do, root / FOLDER, options)
    noted = [Submitted(job=job, cluster=cluster, runs=runs) for job, runs in jobs.items()]
    for one in noted:
        one.write(root)
    return noted


def _in_a_job(root: Path) -> set[str]:
    """Runs that a job is at, or will come to."""
    open_jobs = [job for job in cluster_jobs.read_all(root) if not job.ended(root)]
    queue = cluster_jobs.slurm_queue() if any(job.cluster == "slurm" for job in open_jobs) else None
    return {run for job in open_jobs if cluster_jobs.state_of(job, queue) != "gone" for run in job.runs}


JobOf = Callable[..., Job]


def _to_slurm(job_of: JobOf, cases: Sequence[AnyRun], folder: Path, options: Options) -> dict[str, tuple[str, ...]]:
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
        asked: dict[str, Any] = {
            "partition": options.partition,
            "time": options.time,
            "gpus_per_node": options.gpus or None,
            "cpus_per_task": options.cpus,
            "mem": f"{round(1024 * options.memory)}MB" if options.memory else None,
        }
        executor.update_parameters(
            **{key: value for key, value in asked.items() if value is not None},
            job_name="fgbench",
            array_parallelism=options.parallel or 64,
            additional_parameters={"requeue": True, **options.sbatch},
            setup=[f"export PYTHONPATH={shlex.quote(str(ROOT))}:$PYTHONPATH"],
        )
        jobs: dict[str, tuple[str, ...]] = {}
        tasks = batch_sweep.together(cases)
        for start in range(0, len(tasks), ARRAY):
            with executor.batch():
                handed = [(executor.submit(job_of(*task)), task) for task in tasks[start : start + ARRAY]]
            jobs |= {job.job_id: tuple(case.id for case in task) for job, task in handed}
    except RuntimeError as error:  # submitit's for a missing srun and for whatever sbatch refuses
        raise UserError(f"Slurm takes no job: {str(error).strip().splitlines()[-1]}") from error
    return jobs


def _to_this_machine(
    job_of: JobOf, cases: Sequence[AnyRun], folder: Path, options: Options
) -> dict[str, tuple[str, ...]]:
    executor = submitit.LocalExecutor(folder, max_num_timeout=REQUEUES)
    gpus = torch.cuda.device_count()
    jobs: dict[str, tuple[str, ...]] = {}
    with submitit.helpers.environment_variables(PYTHONPATH=os.pathsep.join([str(ROOT), *_python_path()])):
        for number in range(min(options.parallel or 1, len(cases))):
            own = {"visible_gpus": (number % gpus,), "gpus_per_node": 1} if gpus else {}
            executor.update_parameters(timeout_min=UNLIMITED, **own)
            jobs[executor.submit(job_of(*cases)).job_id] = tuple(case.id for case in cases)
    return jobs


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _on_this_machine(case: AnyRun, environment: Environment) -> AnyRun:
    """A measurement is of the machine that it is made on."""
    if not isinstance(case, ProfileRun):
        return case
    name = hardware.device_name(torch.device(environment.device))
    return case.model_copy(update={"device": environment.device, "hardware": name})
