"""The state of every Run below a results folder, as any process can read it at any time."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.execution import cluster_jobs, heartbeat
from benchmarks.execution.display import format_time_left
from benchmarks.execution.heartbeat import Heartbeat
from results.errors import ResultsError
from results.identity import PREDATES, predates_check
from results.integrity import RECORD
from results.record import Record
from results.store import CHECKPOINT, HISTORY, PREDICTIONS, PREVIOUS_CHECKPOINT, WEIGHTS, ResultStore

ORDER = ("running", "waiting", "interrupted", "failed", "unreadable", "done")

OF_UNFINISHED = (heartbeat.FILE, CHECKPOINT, PREVIOUS_CHECKPOINT)
"""Files of a Run that has no record yet, or no longer after it has begun again."""

Row = dict[str, Any]


def rows(store: ResultStore) -> list[Row]:
    """A row per Run that was started or submitted: `run`, `state`, and what is known; times as ISO, rates in images/s,
    `seconds_left`, accuracy in [0, 1]. Running ones come first, finished ones last."""
    settled, open_rows, settled_ids = [], [], set[str]()
    for folder in _folders(store.root):
        row, ids = _row(store, folder)
        if row["state"] in ("running", "done", "failed"):
            settled.append(row)
            settled_ids |= ids
        else:
            open_rows.append(row)
    found = settled + _with_jobs(store, open_rows, settled_ids)
    return sorted(found, key=lambda row: (ORDER.index(row["state"]), row["run"]))


def short_rows(found: list[Row]) -> list[Row]:
    """The same in fewer columns, for a terminal: those in which some Run has a value. `faults` are left to lines."""
    short = [
        {
            "run": row["run"],
            "state": row["state"],
            "phase": row.get("phase"),
            "epoch": f"{row['epoch']}/{row['epochs']}" if row.get("epochs") else row.get("epoch"),
            "loss": f"{row['loss']:.3f}" if row.get("loss") is not None else None,
            "top-1": f"{100 * row['top1']:.1f} %" if row.get("top1") is not None else None,
            "images/s": f"{row['images_per_s']:.0f}" if row.get("images_per_s") is not None else None,
            "left": format_time_left(row["seconds_left"]).removesuffix(" left") if row.get("seconds_left") else None,
            "since": _local(row["since"]) if row.get("since") else None,
            "who and why": _who_and_why(row),
        }
        for row in found
    ]
    used = {key for row in short for key, value in row.items() if value is not None}
    return [{key: value for key, value in row.items() if key in used} for row in short]


def faults(found: list[Row]) -> list[str]:
    """Why Runs are unreadable or failed, a line each: too long for a table, since most name a file."""
    lines = {"unreadable": "{why}", "failed": "{run}: {why}"}
    return [lines[row["state"]].format_map(row) for row in found if row["state"] in lines and row.get("why")]


def _who_and_why(row: Row) -> str | None:
    if row["state"] in ("unreadable", "failed"):
        return "see below"
    return ": ".join(row[key] for key in ("by", "why") if row.get(key)) or None


def _local(time: str) -> str:
    try:
        return f"{datetime.fromisoformat(time).astimezone():%m-%d %H:%M}"
    except OverflowError:  # the first or last hours of all years
        return time


def summary(found: list[Row]) -> str:
    """The number of Runs in each state, in one line."""
    counts = {state: sum(row["state"] == state for row in found) for state in ORDER}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no Run yet"


def _folders(root: Path) -> Iterator[Path]:
    """The folders of all Runs that were started."""
    files = {*OF_UNFINISHED, RECORD, HISTORY, PREDICTIONS, WEIGHTS}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            started = folder.is_dir() and any((folder / name).is_file() for name in files)
        except PermissionError:  # which its row tells
            started = True
        if started:
            yield folder


def _row(store: ResultStore, folder: Path) -> tuple[Row, set[str]]:
    """What is known of a Run, and the ids that it may have in the list of a job."""
    beat = heartbeat.read(folder)
    if beat is not None and beat.alive:
        ids = {folder.name, beat.submitted or folder.name}
        return {"run": folder.name, "state": "running", "by": beat.owner, **_from_heartbeat(beat)}, ids
    try:
        record = store.read(folder.name)
    except ResultsError as error:
        return {"run": folder.name, "state": "unreadable", "why": str(error)}, set()
    if record is not None:
        return _from_record(record), cluster_jobs.ids_of(record)
    if not any((folder / name).is_file() for name in OF_UNFINISHED):
        why = f"{folder / RECORD}: is missing, and other files of the Run are here; restore it, or run the Run again"
        return {"run": folder.name, "state": "unreadable", "why": why}, set()
    unreadable = f"its {heartbeat.FILE} can't be read; " if beat is None and (folder / heartbeat.FILE).exists() else ""
    row: Row = {"run": folder.name, "state": "interrupted", "why": f"{unreadable}the same command resumes it"}
    if beat:
        row |= {"by": f"was {beat.owner}", **_from_heartbeat(beat), "seconds_left": None}
    return row, set()


def _from_heartbeat(beat: Heartbeat) -> Row:
    return {
        "since": beat.started.isoformat(),
        "updated": beat.updated.isoformat(),
        "epoch": beat.epoch,
        "epochs": beat.epochs,
        "phase": beat.place,
        "loss": beat.loss,
        "top1": beat.test_top1,
        "images_per_s": beat.images_per_s,
        "memory": beat.memory,
        "seconds_left": beat.seconds_left,
    }


def _from_record(record: Record) -> Row:
    last = record.metrics.get("last")
    return {
        "run": record.id,
        "state": record.status,
        "since": record.started.isoformat(),
        "seconds": record.seconds,
        "epoch": last and last.epoch,
        "top1": last and last.top1,
        "images_per_s": record.training.get("images_per_s"),
        "why": record.error or (PREDATES if record.status == "done" and predates_check(record.run) else None),
    }


def _with_jobs(store: ResultStore, open_rows: list[Row], settled_ids: Set[str]) -> list[Row]:
    """The rows of Runs that are still to be done: those that a live job was given are waiting."""
    by_id = {row["run"]: row for row in open_rows}
    for job, state in cluster_jobs.live_jobs(store.root):
        for run in job.runs:
            if run not in settled_ids:
                by_id[run] = by_id.get(run, {}) | {"run": run, "state": "waiting", "by": f"job {job.job}", "why": state}
    return list(by_id.values())
