"""What is done, running, waiting and failed below a results folder, seen from outside and at any time."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.execution import cluster_jobs, heartbeat
from benchmarks.execution.display import time_left
from benchmarks.execution.heartbeat import Heartbeat
from results.record import Record
from results.store import CHECKPOINT, PREVIOUS_CHECKPOINT, ResultsError, ResultStore

ORDER = ("running", "waiting", "interrupted", "failed", "unreadable", "done")

Row = dict[str, Any]


def rows(store: ResultStore) -> list[Row]:
    """A row per Run that was begun or submitted: `run`, `state`, and what is known; times as ISO, rates in images/s,
    `seconds_left`, accuracy in [0, 1]. Those that run come first, those that are done last."""
    found, begun, left = [], set[str](), []
    for folder in _folders(store.root):
        row, names = _row(store, folder)
        if row["state"] in ("running", "done", "failed"):
            found.append(row)
            begun |= names
        else:
            left.append(row)
    found += _with_jobs(store, left, begun)
    return sorted(found, key=lambda row: (ORDER.index(row["state"]), row["run"]))


def short_rows(found: list[Row]) -> list[Row]:
    """For a terminal: the same in fewer columns."""
    return [
        {
            "run": row["run"],
            "state": row["state"],
            "epoch": f"{row['epoch']}/{row['epochs']}" if row.get("epochs") else row.get("epoch"),
            "loss": f"{row['loss']:.3f}" if row.get("loss") is not None else None,
            "top-1": f"{100 * row['top1']:.1f} %" if row.get("top1") is not None else None,
            "images/s": f"{row['images_per_s']:.0f}" if row.get("images_per_s") is not None else None,
            "left": time_left(row["seconds_left"]).removesuffix(" left") if row.get("seconds_left") else None,
            "since": f"{datetime.fromisoformat(row['since']).astimezone():%m-%d %H:%M}" if row.get("since") else None,
            "who and why": ": ".join(row[key] for key in ("by", "why") if row.get(key)) or None,
        }
        for row in found
    ]


def summary(found: list[Row]) -> str:
    """How many there are of each state, in a line."""
    counts = {state: sum(row["state"] == state for row in found) for state in ORDER}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no Run yet"


def _folders(root: Path) -> Iterator[Path]:
    """Of every Run that was begun."""
    begun = {"record.json", heartbeat.FILE, CHECKPOINT, PREVIOUS_CHECKPOINT}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and any((folder / name).is_file() for name in begun):
            yield folder


def _row(store: ResultStore, folder: Path) -> tuple[Row, set[str]]:
    """What is known of a Run, and the ids under which jobs may have been given it."""
    beat = heartbeat.read(folder)
    if beat is not None and beat.alive:
        return {"run": folder.name, "state": "running", "by": beat.owner, **_of_beat(beat)}, {folder.name}
    try:
        record = store.read(folder.name)
    except ResultsError as error:
        return {"run": folder.name, "state": "unreadable", "why": str(error)}, set()
    if record is not None:
        return _of_record(record), cluster_jobs.names_of(record)
    row: Row = {"run": folder.name, "state": "interrupted", "why": "a second start goes on with it"}
    if beat:
        row |= {"by": f"was {beat.owner}", **_of_beat(beat), "seconds_left": None}
    return row, set()


def _of_beat(beat: Heartbeat) -> Row:
    return {
        "since": beat.began.isoformat(),
        "heard": beat.updated.isoformat(),
        "epoch": beat.epoch,
        "epochs": beat.epochs,
        "loss": beat.loss,
        "top1": beat.test_top1,
        "images_per_s": beat.images_per_s,
        "memory": beat.memory,
        "seconds_left": beat.seconds_left,
    }


def _of_record(record: Record) -> Row:
    last = record.metrics.get("last")
    return {
        "run": record.id,
        "state": record.status,
        "since": record.started.isoformat(),
        "seconds": record.seconds,
        "epoch": last and last.epoch,
        "top1": last and last.top1,
        "images_per_s": record.training.get("images_per_s"),
        "why": record.error,
    }


def _with_jobs(store: ResultStore, left: list[Row], begun: Set[str]) -> list[Row]:
    """The Runs that are left, and those that a job will come to: waiting, as long as the job is there."""
    by_id = {row["run"]: row for row in left}
    jobs = [job for job in cluster_jobs.read_all(store.root) if not job.ended(store.root)]
    queue = None
    if any(job.cluster == "slurm" for job in jobs):
        queue = cluster_jobs.slurm_queue()
    for job in jobs:
        state = cluster_jobs.state_of(job, queue)
        for run in job.runs:
            if run in begun or state == "gone":
                continue
            by_id[run] = by_id.get(run, {}) | {"run": run, "state": "waiting", "by": f"job {job.job}", "why": state}
    return list(by_id.values())
