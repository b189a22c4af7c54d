"""How far a Run is: written by the process that works on it, read by the display and by `status`."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from benchmarks.planning.phases import FORWARD_COST
from results.errors import ResultsError
from results.files import write_whole

FILE = "progress.json"
JOB_VARIABLE = "FGBENCH_JOB"
"""Environment variable with the id of the cluster job that this process belongs to."""
SEND_SECONDS = 0.2
"""Minimum time between two heartbeats to the display within an epoch."""
WRITE_SECONDS = 2.0
"""Time between two heartbeats to the file."""
STALE_AFTER = timedelta(minutes=3)
"""Silence after which a Run on another host is shown as dead (only its lock decides whether it is)."""


class Heartbeat(BaseModel):
    """The progress of a Run at one moment. Work is counted in trained images."""

    model_config = ConfigDict(frozen=True)

    run: str
    label: str
    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    job: str | None = None
    """Id of the cluster job."""
    submitted: str | None = None
    """The Run's id in the list of a job: of a profile that was submitted to Slurm, it is another than `run`."""
    started: AwareDatetime
    updated: AwareDatetime
    epoch: int = 0
    """Completed epochs."""
    epochs: int | None = None
    phase: str | None = None
    """Of a training with several phases, the one that is worked on; it began after `phase_first` epochs and has
    `phase_epochs`."""
    phase_first: int = 0
    phase_epochs: int = 0
    loss: float | None = None
    """Of the last completed epoch."""
    test_top1: float | None = None
    """Of `test_epoch`: not every epoch is evaluated."""
    test_epoch: int | None = None
    images_per_s: float | None = None
    """Training rate since the last completed epoch."""
    work: FiniteFloat
    """All work of this Run."""
    done: FiniteFloat = 0.0
    done_here: FiniteFloat = 0.0
    """The part of `done` since `started`; a Run that resumes from a checkpoint starts with `done` above 0."""
    memory: int | None = None
    """Peak of the bytes reserved on the GPU."""

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before the first step."""
        if self.done_here <= 0:
            return None
        left = (self.updated - self.started).total_seconds() * max(self.work - self.done, 0) / self.done_here
        return left if math.isfinite(left) else None

    @property
    def place(self) -> str | None:
        """The phase, and how many of its epochs are completed: `classifier 2/5`; None in a training of one phase."""
        return f"{self.phase} {self.epoch - self.phase_first}/{self.phase_epochs}" if self.phase else None

    @property
    def share_left(self) -> float:
        """The part of the Run's work that is not done yet, in [0, 1]."""
        return max(1 - self.done / self.work, 0.0) if self.work else 0.0

    @property
    def alive(self) -> bool:
        """Whether its process still works: checked on this host, assumed for `STALE_AFTER` on other hosts."""
        if self.host != socket.gethostname():
            return datetime.now(UTC) - self.updated < STALE_AFTER
        return process_lives(self.pid, self.started.timestamp())

    @property
    def owner(self) -> str:
        """Who works on it, for a message."""
        return f"job {self.job} on {self.host}" if self.job else f"process {self.pid} on {self.host}"


def process_lives(pid: int, since: float) -> bool:
    """Whether the process that had this id on this host at a time (seconds since 1970) is still there."""
    try:  # a later process may have got the same id
        return psutil.Process(pid).create_time() <= since + 1
    except psutil.Error:
        return False


def read(folder: Path) -> Heartbeat | None:
    """The last heartbeat of the Run in `folder`; None if there is none, or none that makes sense."""
    path = folder / FILE
    try:
        return Heartbeat.model_validate_json(path.read_bytes()) if path.is_file() else None  # a pipe would wait
    except (OSError, ValidationError):
        return None


class HeartbeatWriter:
    """A listener to a training that passes heartbeats and notes to `send`, and writes `progress.json` regularly.

    The file is removed at the end of the context, unless the Run was interrupted: then it keeps the last state.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        label: str,
        work: float,
        send: Callable[[Heartbeat | str], None],
        submitted: str | None = None,
    ) -> None:
        self.folder, self.send = folder, send
        now = datetime.now(UTC)
        self.heartbeat = Heartbeat(
            run=run,
            label=label,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=os.environ.get(JOB_VARIABLE),
            submitted=submitted,
            started=now,
            updated=now,
            work=work,
        )
        self._last_sent = self._epoch_started = time.monotonic()
        self._images = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write_regularly, name="heartbeat", daemon=True)

    def __enter__(self) -> HeartbeatWriter:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if kind is None or issubclass(kind, Exception):
            with contextlib.suppress(OSError):
                (self.folder / FILE).unlink(missing_ok=True)
        else:
            self._write()

    def phase(self, name: str, first: int, epochs: int) -> None:
        self._update(phase=name, phase_first=first, phase_epochs=epochs)

    def trained(self, images: int) -> None:
        self._images += images
        seconds = time.monotonic() - self._epoch_started
        self._advance(images, images_per_s=self._images / seconds if seconds > 0 else None)

    def evaluated(self, images: int) -> None:
        self._advance(images * FORWARD_COST)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        done = max(self.heartbeat.done, self.heartbeat.work * row["epoch"] / epochs)
        fields = {name: row.get(name) for name in ("loss", "images_per_s")}
        if fields["loss"] is not None and math.isnan(fields["loss"]):  # nearest neighbours have none
            fields["loss"] = None
        if row.get("test_top1") is not None:
            fields |= {"test_top1": row["test_top1"], "test_epoch": row["epoch"]}
        self._update(epoch=row["epoch"], epochs=epochs, done=done, **fields)
        self._send()
        self._images, self._epoch_started = 0, time.monotonic()

    def note(self, text: str) -> None:
        self.send(text)

    def _advance(self, work: float, **fields: Any) -> None:
        done = min(self.heartbeat.done + work, self.heartbeat.work)
        self._update(done=done, done_here=self.heartbeat.done_here + work, **fields)
        if time.monotonic() - self._last_sent >= SEND_SECONDS:
            self._send()

    def _update(self, **fields: Any) -> None:
        self.heartbeat = self.heartbeat.model_copy(update=fields | {"updated": datetime.now(UTC)})

    def _send(self) -> None:
        import torch  # here, because `status` uses this module too and needs no torch

        self._last_sent = time.monotonic()
        if torch.cuda.is_initialized():
            self._update(memory=torch.cuda.max_memory_reserved())
        self.send(self.heartbeat)

    def _write_regularly(self) -> None:
        while not self._stopped.wait(WRITE_SECONDS):
            self._write()

    def _write(self) -> None:
        """Writes the file. A full disk is reported by whoever writes results."""
        heartbeat = self.heartbeat.model_copy(update={"updated": datetime.now(UTC)})
        text = heartbeat.model_dump_json(indent=2, exclude_none=True)
        with contextlib.suppress(ResultsError):
            write_whole(self.folder / FILE, partial(Path.write_text, data=text, encoding="utf-8"), flush=False)
