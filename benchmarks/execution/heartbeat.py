"""How far a Run is: said by the process that works on it, heard by the display and by `status`."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "progress.json"
JOB = "FGBENCH_JOB"
"""Environment variable with the id of the cluster's job that this process is part of."""
EVALUATION_COST = 1 / 3
"""Work of a forward pass against forward, backward and step: what the time left is reckoned with."""
TELL_SECONDS = 0.2
"""Least time between two heartbeats to the display, but for the ends of epochs."""
WRITE_SECONDS = 2.0
"""Between two heartbeats to the file."""
SILENCE = timedelta(minutes=3)
"""A Run on another host that has not been heard of for so long is taken for dead (its claim decides, not this)."""


class Heartbeat(BaseModel):
    """One moment of a Run. Work is in trained images."""

    model_config = ConfigDict(frozen=True)

    run: str
    label: str
    host: str
    pid: int
    job: str | None = None
    """Of the cluster."""
    began: datetime
    updated: datetime
    epoch: int = 0
    """Whole epochs done."""
    epochs: int | None = None
    loss: float | None = None
    """Of the last whole epoch."""
    test_top1: float | None = None
    """Of `test_epoch`: not every epoch is evaluated."""
    test_epoch: int | None = None
    images_per_s: float | None = None
    """Trained, since the last whole epoch."""
    work: float
    """All there is to do in this Run."""
    done: float = 0.0
    heard: float = 0.0
    """The part of `done` that was done since `began`: a Run that goes on from a checkpoint begins with more."""
    memory: int | None = None
    """Bytes reserved on the GPU at the most."""

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before the first step."""
        seconds = (self.updated - self.began).total_seconds()
        return seconds * max(self.work - self.done, 0) / self.heard if self.heard > 0 else None

    @property
    def share_left(self) -> float:
        """Of all its work, what is still to be done."""
        return max(1 - self.done / self.work, 0.0) if self.work else 0.0

    @property
    def alive(self) -> bool:
        """Whether its process still works: asked of this host's processes, believed of another host for a while."""
        if self.host != socket.gethostname():
            return datetime.now(UTC) - self.updated < SILENCE
        try:
            return psutil.Process(self.pid).create_time() <= self.began.timestamp() + 1
        except psutil.Error:
            return False

    @property
    def owner(self) -> str:
        """Who works on it, in words."""
        return f"job {self.job} on {self.host}" if self.job else f"process {self.pid} on {self.host}"


def read(folder: Path) -> Heartbeat | None:
    """The last heartbeat of the Run in `folder`, or None."""
    try:
        return Heartbeat.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


class HeartbeatWriter:
    """Listens to a training and says how far it is: to `tell` as it goes, and to `progress.json` every few seconds.

    The file goes away with the context, unless the Run was interrupted: then it says where. `tell` is given
    heartbeats, and notes as they are.
    """

    def __init__(
        self, folder: Path, run: str, label: str, work: float, tell: Callable[[Heartbeat | str], None]
    ) -> None:
        self.folder, self.tell = folder, tell
        now = datetime.now(UTC)
        self.beat = Heartbeat(
            run=run,
            label=label,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=os.environ.get(JOB),
            began=now,
            updated=now,
            work=work,
        )
        self._told = self._epoch_began = time.monotonic()
        self._images = 0
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="heartbeat", daemon=True)

    def __enter__(self) -> HeartbeatWriter:
        self._write()
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._writer.join()
        if kind is None or issubclass(kind, Exception):
            with contextlib.suppress(OSError):
                (self.folder / FILE).unlink(missing_ok=True)
        else:
            self._write()

    def trained(self, images: int) -> None:
        self._images += images
        seconds = time.monotonic() - self._epoch_began
        self._advance(images, images_per_s=self._images / seconds if seconds > 0 else None)

    def evaluated(self, images: int) -> None:
        self._advance(images * EVALUATION_COST)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        done = max(self.beat.done, self.beat.work * row["epoch"] / epochs)
        known = {name: row.get(name) for name in ("loss", "images_per_s")}
        if row.get("test_top1") is not None:
            known |= {"test_top1": row["test_top1"], "test_epoch": row["epoch"]}
        self._become(epoch=row["epoch"], epochs=epochs, done=done, **known)
        self._say()
        self._images, self._epoch_began = 0, time.monotonic()

    def note(self, text: str) -> None:
        self.tell(text)

    def _advance(self, work: float, **known: Any) -> None:
        done = min(self.beat.done + work, self.beat.work)
        self._become(done=done, heard=self.beat.heard + work, **known)
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._say()

    def _become(self, **known: Any) -> None:
        self.beat = self.beat.model_copy(update=known | {"updated": datetime.now(UTC)})

    def _say(self) -> None:
        import torch  # only where something is computed: `status` reads heartbeats too

        self._told = time.monotonic()
        if torch.cuda.is_initialized():
            self._become(memory=torch.cuda.max_memory_reserved())
        self.tell(self.beat)

    def _write_on(self) -> None:
        while not self._over.wait(WRITE_SECONDS):
            self._write()

    def _write(self) -> None:
        """Whole, or not at all; not flushed to disk, and a full disk is left to those who write results."""
        beat = self.beat.model_copy(update={"updated": datetime.now(UTC)})
        temporary = self.folder / f".{FILE}"  # one name will do: a Run has one process
        with contextlib.suppress(OSError):
            temporary.write_text(beat.model_dump_json(indent=2, exclude_none=True), encoding="utf-8")
            temporary.replace(self.folder / FILE)
