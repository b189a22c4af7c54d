"""When a checkpoint is written, and how without holding up the training."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.checkpoints import checkpoint
from results.settings import Run

LARGEST_SHARE = 0.01
"""Of a training's time that it may wait for its checkpoints."""
LONGEST_PAUSE = 300.0
"""Most seconds between two checkpoints, whatever they cost, since an interruption costs what came after the last. Only
a disk that takes longer to write one makes it more."""


class CheckpointWriter:
    """Writes the checkpoints of a Run in a thread of its own, one at a time, while the training goes on.

    The training waits only for a copy of its state on the host. A GPU makes that copy between two steps, and the host
    does not wait for it. On leaving the context, the last checkpoint is complete.
    """

    def __init__(self, folder: Path, run: Run, seconds: float) -> None:
        """`seconds`: the shortest time from one checkpoint to the next; 0: one is always due, whatever it costs."""
        self.folder, self.run, self.seconds = folder, run, seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._next = time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint, and the training would not have to wait until the last one is written.

        Raises `ResultsError` if that could not be written.
        """
        if self._writing is not None:
            if self._writing.done():
                self.finish()
            elif self.seconds:
                return False
        return time.monotonic() >= self._next

    def save(self, state: dict[str, Any], device: torch.device) -> float:
        """Begins to write what `capture` returned; returns for how many seconds the training waited.

        Raises `ResultsError` if the checkpoint before this one could not be written.
        """
        began = time.monotonic()
        self.finish()
        copied = host_copy(state)
        arrived = torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None
        self._writing = self._thread.submit(self._write, copied, arrived)
        waited = time.monotonic() - began
        pause = max(self.seconds, min(waited / LARGEST_SHARE, LONGEST_PAUSE)) if self.seconds else 0.0
        self._next = time.monotonic() + pause
        return waited

    def finish(self) -> float:
        """Waits until the checkpoint that is being written is complete; returns for how many seconds.

        Raises `ResultsError` if it can't be written; the one before it then stays.
        """
        began, writing, self._writing = time.monotonic(), self._writing, None
        if writing is not None:
            writing.result()
        return time.monotonic() - began

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()  # also after an error: what was captured before it is worth keeping
        if error is None:
            self.finish()

    def _write(self, state: dict[str, Any], arrived: torch.cuda.Event | None) -> None:
        if arrived is not None:
            arrived.synchronize()
        checkpoint.save(self.folder, self.run, state)


def host_copy(value: Any) -> Any:
    """Containers and tensors that do not change when the originals do; all tensors are on the host.

    A GPU's tensors go to pinned memory, and are there when the device has done what it was asked to do until now.
    """
    if isinstance(value, Tensor):
        if value.device.type != "cuda":
            return value.clone()
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)
    if isinstance(value, Mapping):
        copied: Any = copy.copy(value)  # a state dict carries the versions of its modules as an attribute
        for name, one in value.items():
            copied[name] = host_copy(one)
        return copied
    if isinstance(value, list | tuple):
        return type(value)(map(host_copy, value))
    return value
