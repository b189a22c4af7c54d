"""Jobs that were submitted to a cluster: the Runs that each was given, and its state. Needs no submitit."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.execution.heartbeat import process_lives
from results.files import write_whole
from results.record import Record
from results.settings import AnyRun, ProfileRun

LARGEST_PID = 2**31 - 1
"""No process has it, and psutil refuses larger ones with an error."""
FOLDER = "jobs"
"""Folder of all jobs below the root of the results: submitit's files, the logs, and one `Submitted` per job."""

Cluster = Literal["local", "slurm"]


class Submitted(BaseModel):
    """A job and the Runs it was given."""

    model_config = ConfigDict(frozen=True)

    job: Annotated[str, Field(pattern=r"^[0-9]{1,10}(_[0-9]{1,10})?$")]
    """Slurm's id, of an array with the task; on this machine the process's."""
    cluster: Cluster
    runs: tuple[str, ...]
    """Their ids."""

    def write(self, root: Path) -> None:
        """Writes the job beside its logs. Raises `ResultsError`."""
        text = self.model_dump_json(indent=2)
        write_whole(self._path(root), partial(Path.write_text, data=text, encoding="utf-8"))

    def written(self, root: Path) -> float:
        """When it was submitted, in seconds since 1970; 0 if its file is gone."""
        path = self._path(root)
        return path.stat().st_mtime if path.is_file() else 0.0

    def ended(self, root: Path) -> bool:
        """Whether it has returned or raised: submitit then writes its result."""
        return (root / FOLDER / f"{self.job}_0_result.pkl").is_file()

    def _path(self, root: Path) -> Path:
        return root / FOLDER / f"{self.job}.json"


def without_machine(case: AnyRun, device: str) -> AnyRun:
    """The Run before its machine is known, of which it is only known to have a `device`, `cpu` or `cuda`: the id of a
    measurement contains the machine."""
    known = {"device": f"slurm_{device}", "hardware": ""}
    return case.model_copy(update=known) if isinstance(case, ProfileRun) else case


def submitted_id(case: AnyRun) -> str:
    """The id that a Run on this machine had when it was submitted to Slurm."""
    return without_machine(case, case.device).id if isinstance(case, ProfileRun) else case.id


def ids_of(record: Record) -> set[str]:
    """The ids of a stored Run: its own, and the one that it had when it was submitted."""
    # No plan of today contains a Run of other rules.
    return {record.id, submitted_id(record.run)} if record.current else {record.id}


def read_all(root: Path) -> list[Submitted]:
    """Every submitted job, in no order."""
    found = []
    for path in (root / FOLDER).glob("*.json"):
        with suppress(OSError, ValidationError):
            found.append(Submitted.model_validate_json(path.read_bytes()))
    return found


def live_jobs(root: Path) -> list[tuple[Submitted, str]]:
    """The jobs that still have to do or finish Runs, with their states."""
    jobs = [job for job in read_all(root) if not job.ended(root)]
    queue = slurm_queue() if any(job.cluster == "slurm" for job in jobs) else None
    states = [(job, state_of(job, queue, root)) for job in jobs]
    return [(job, state) for job, state in states if state != "gone"]


def state_of(job: Submitted, queue: dict[str, str] | None, root: Path) -> str:
    """Slurm's name of the state, such as `running` or `pending`; `gone` if the job no longer exists, `submitted` if
    Slurm can't be asked. `root`: of the results that it was submitted for."""
    if job.cluster == "local":
        process = int(job.job) if job.job.isdecimal() else LARGEST_PID
        lives = process < LARGEST_PID and process_lives(process, job.written(root))
        return "running" if lives else "gone"
    return "submitted" if queue is None else queue.get(job.job, "gone")


def slurm_queue() -> dict[str, str] | None:
    """The states of this user's jobs by id (`array_task` for tasks of an array); None if Slurm can't be asked."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i %T"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return {job: state.lower() for job, state in (line.split() for line in lines)}
