"""Submits a plan to Slurm, or as background jobs to this machine. Queueing and requeueing are submitit's.

On Slurm every Run is a task of one array; a sweep over batch sizes is one task, because its results decide where it
ends. On this machine each of `parallel` jobs gets the whole plan, and they share it by locking Runs. A job that is
preempted, requeued or out of time is queued again, and its Run resumes from its checkpoint.

`--cluster local` is the dry run of Slurm: the same pickled job, logs and `status`. Its jobs outlive the terminal;
a process of `benchmarks.isolation`, on the contrary, must end with its parent.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import hardware, output
from benchmarks.config import parse
from benchmarks.console import PlainConsole
from benchmarks.environment import Environment, choose_device
from benchmarks.errors import UserError
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import cluster_jobs, heartbeat
from benchmarks.execution.cluster_jobs import FOLDER, Cluster, Submitted
from benchmarks.execution.execute import execute
from benchmarks.planning import batch_sweep, left_to_do
from results import identity
from results.record import Record
from results.settings import AnyRun, ProfileRun, Settings
from results.store import ResultStore
from results.values.numbers import Count, CountOrNone, Minutes, Positive

try:
    import submitit
    from submitit.helpers import Checkpointable
except ImportError as missing:
    raise UserError("--cluster needs submitit: pip install '.[cluster]'") from missing

ROOT = Path(__file__).parents[2]
MAX_ARRAY_TASKS = 1000
"""Slurm's default limit for one array."""
MAX_TIMEOUTS = 1000
"""How often a job that ran out of time is queued again; it comes further each time."""
GPU_OPTIONS = {"gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"}
"""Options of sbatch that ask for GPUs; `gres=gpu` is another."""
LOCAL_MINUTES = 60 * 24 * 365
"""Time limit of a job on this machine: none in practice."""


class Options(Settings):
    """What each job asks for: `--cluster-option key=value`."""

    partition: str | None = None
    time: Minutes = 240
    """Minutes after which a job is queued again."""
    gpus: CountOrNone = 0
    cpus: Count | None = None
    memory: Positive | None = None
    """GB"""
    parallel: Count | None = None
    """Jobs at a time: 64 on Slurm and one on this machine by default; here each has its own GPU if possible."""
    sbatch: dict[str, str] = {}
    """Any other option of sbatch, by its long name."""

    @property
    def device(self) -> str:
        """What jobs will compute on, as far as the options tell: a partition may give GPUs that none of them names."""
        asked = {name.replace("_", "-"): value for name, value in self.sbatch.items()}
        named = GPU_OPTIONS & asked.keys() or "gpu" in asked.get("gres", "")
        return "cuda" if self.gpus or named else "cpu"

    def jobs(self, cluster: Cluster) -> int:
        """At a time."""
        return self.parallel or (64 if cluster == "slurm" else 1)


def parse_options(assignments: Mapping[str, str]) -> Options:
    """`{"partition": "p", "sbatch.account": "a"}` -> options. Raises `UserError` with the nearest key."""
    values: dict[str, Any] = {key: value for key, value in assignments.items() if not key.startswith("sbatch.")}
    values["sbatch"] = {key.removeprefix("sbatch."): assignments[key] for key in assignments.keys() - values.keys()}
    return parse(Options, values, "--cluster-option")


@dataclass(frozen=True)
class Job(Checkpointable):
    """What a job does: part of the plan, or all of it. When queued again it starts over, and its Runs resume."""

    cases: tuple[AnyRun, ...]
    root: Path
    environment: Environment
    device: str

    def __call__(self) -> None:
        output.tolerate()
        os.environ[heartbeat.JOB_VARIABLE] = submitit.JobEnvironment().job_id
        environment = replace(self.environment, device=choose_device(self.device))
        cases = [on_this_machine(case, environment) for case in self.cases]
        store = ResultStore(self.root)
        estimator = Estimator(store.records(), environment)
        execute(cases, store, environment, PlainConsole(), own_process=True, estimator=estimator)


def submit(
    plan: Sequence[AnyRun],
    store: ResultStore,
    environment: Environment,
    device: str,
    cluster: Cluster,
    options: Options,
) -> list[Submitted]:
    """Submits the Runs that are to do and have no job yet, and returns at once.

    Each job chooses its `device` where it runs. Raises `UserError` if the cluster refuses, and `ResultsError` if the
    results can't be written.
    """
    store.prepare()
    root = store.root.absolute()
    store.folder(FOLDER)
    if cluster == "slurm":
        expected = options.device if device == "auto" else device
        plan = [cluster_jobs.without_machine(case, expected) for case in plan]
    for case in plan:
        store.read(case.id)  # one that can't be read or trusted is reported here, not by its job
    finished = (record for record in store.own() if record.status == "done")
    known = {name: record for record in finished for name in cluster_jobs.ids_of(record)}
    in_a_job = {run for job, _ in cluster_jobs.live_jobs(root) for run in job.runs}
    free = [case for case in plan if case.id not in in_a_job]

    def find(case: AnyRun) -> Record | None:
        return known.get(case.id)

    to_do = left_to_do.by(free, lambda case: identity.answer(case, find), find).to_do
    if not to_do:
        return []
    submit_jobs = _submit_to_slurm if cluster == "slurm" else _submit_to_this_machine
    jobs = submit_jobs(lambda *cases: Job(cases, root, environment, device), to_do, root / FOLDER, options)
    submitted = [Submitted(job=job, cluster=cluster, runs=runs) for job, runs in jobs.items()]
    for one in submitted:
        one.write(root)
    return submitted


MakeJob = Callable[..., Job]


def _submit_to_slurm(
    make_job: MakeJob, cases: Sequence[AnyRun], folder: Path, options: Options
) -> dict[str, tuple[str, ...]]:
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
        parameters: dict[str, Any] = {
            "partition": options.partition,
            "time": options.time,
            "gpus_per_node": options.gpus or None,
            "cpus_per_task": options.cpus,
            "mem": f"{round(1024 * options.memory)}MB" if options.memory else None,
        }
        executor.update_parameters(
            **{key: value for key, value in parameters.items() if value is not None},
            job_name="fgbench",
            array_parallelism=options.jobs("slurm"),
            additional_parameters={"requeue": True, **options.sbatch},
            setup=[f"export PYTHONPATH={shlex.quote(str(ROOT))}:$PYTHONPATH"],
        )
        jobs: dict[str, tuple[str, ...]] = {}
        tasks = batch_sweep.together(cases)
        for start in range(0, len(tasks), MAX_ARRAY_TASKS):
            with executor.batch():
                submitted = [
                    (executor.submit(make_job(*task)), task) for task in tasks[start : start + MAX_ARRAY_TASKS]
                ]
            jobs |= {job.job_id: tuple(case.id for case in task) for job, task in submitted}
    except RuntimeError as error:  # from submitit, if srun is missing or sbatch refuses
        raise UserError(f"Slurm accepts no job: {str(error).strip().splitlines()[-1]}") from error
    return jobs


def _submit_to_this_machine(
    make_job: MakeJob, cases: Sequence[AnyRun], folder: Path, options: Options
) -> dict[str, tuple[str, ...]]:
    executor = submitit.LocalExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
    gpus = torch.cuda.device_count()
    jobs: dict[str, tuple[str, ...]] = {}
    with submitit.helpers.environment_variables(PYTHONPATH=os.pathsep.join([str(ROOT), *_python_path()])):
        for number in range(min(options.jobs("local"), len(cases))):
            own = {"visible_gpus": (number % gpus,), "gpus_per_node": 1} if gpus else {}
            executor.update_parameters(timeout_min=LOCAL_MINUTES, **own)
            jobs[executor.submit(make_job(*cases)).job_id] = tuple(case.id for case in cases)
    return jobs


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def on_this_machine(case: AnyRun, environment: Environment) -> AnyRun:
    """The Run with this machine in its settings, if it is a measurement."""
    if not isinstance(case, ProfileRun):
        return case
    name = hardware.device_name(torch.device(environment.device))
    return case.model_copy(update={"device": environment.device, "hardware": name})
