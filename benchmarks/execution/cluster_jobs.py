"""Jobs that were handed to a cluster: what each is to do, and what became of it. Needs no submitit."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from results.record import Record
from results.settings import AnyRun, ProfileRun, as_run
from results.store import write_whole

FOLDER = "jobs"
"""Of jobs, below the root of the results: what submitit keeps of them, their logs, and one note per job."""

Cluster = Literal["local", "slurm"]


class Submitted(BaseModel):
    """A job and the Runs it was given."""

    model_config = ConfigDict(frozen=True)

    job: str
    cluster: Cluster
    runs: tuple[str, ...]
    """Their ids."""

    def write(self, root: Path) -> None:
        """Notes the job beside its logs. Raises `ResultsError`."""
        text = self.model_dump_json(indent=2)
        write_whole(root / FOLDER / f"{self.job}.json", partial(Path.write_text, data=text, encoding="utf-8"))

    def ended(self, root: Path) -> bool:
        """Whether it went through its Runs to the end, or raised: submitit then keeps its result."""
        return (root / FOLDER / f"{self.job}_0_result.pkl").is_file()


def wherever(case: AnyRun) -> AnyRun:
    """A Run as it is before it is known which machine carries it out: a measurement's id has the machine in it."""
    return case.model_copy(update={"device": "slurm", "hardware": ""}) if isinstance(case, ProfileRun) else case


def names_of(record: Record) -> set[str]:
    """The ids of a stored Run: its own, and that under which a job was given it."""
    with suppress(ValidationError):
        case = as_run(record.run)
        if case.hash == record.hash:  # else it is of other rules, and nothing that is planned today
            return {record.id, wherever(case).id}
    return {record.id}


def read_all(root: Path) -> list[Submitted]:
    """Every job that was noted, in no order."""
    found = []
    for path in (root / FOLDER).glob("*.json"):
        try:
            found.append(Submitted.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return found


def state_of(job: Submitted, queue: dict[str, str] | None) -> str:
    """`running`, `pending` …, as Slurm names it; `gone` where nothing is left of it, `submitted` if we can't know."""
    if job.cluster == "local":
        return "running" if psutil.pid_exists(int(job.job)) else "gone"
    return "submitted" if queue is None else queue.get(job.job, "gone")


def slurm_queue() -> dict[str, str] | None:
    """Our jobs by id, `array_task` where they are of an array, with their states; None where there is no Slurm."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i %T"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return {job: state.lower() for job, state in (line.split() for line in lines)}
