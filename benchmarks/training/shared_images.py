"""Images that one process keeps on the device for all trainings of a plan (`execution/image_holder.py`), as a training
sees them.

The trainings map the holder's memory (CUDA IPC; shared memory on a CPU), so that several of them need it once, and each
spares the seconds of a copy of its own. Where that does not work, a training copies the images as it would alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError, connection, current_process
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.environment import Environment
from benchmarks.errors import UserError, first_line
from benchmarks.training.listener import in_lines
from datasets.interface import Dataset
from datasets.loading.sources import Images, Source, StoreSource, choose_feed_mode, expected_bytes, open_source
from datasets.loading.store import ResizeRule, Store, open_store
from results.settings import Run


class StoreName(NamedTuple):
    """A store of decoded images."""

    dataset: str
    options: str
    """As JSON."""
    size: int
    rule: ResizeRule


def store_of(run: Run) -> StoreName:
    """The store that a training reads."""
    options = json.dumps(run.dataset_options, sort_keys=True)
    return StoreName(run.dataset, options, run.recipe.stored_size, run.recipe.resize)


Answer = tuple[Literal["note", "pixels", "no room", "failed"], Any]
"""Of the holder: a line for the user, after which another answer follows; the store's pixels on the device; that they
have no room there; or why they can't be shared, in words."""
GIVE_UP = "give up"
"""What a training tells the holder when the images leave it too little memory."""


class HeldSource(StoreSource):
    """Images in the memory of the holder, which has compared them with their checksums."""

    def __init__(self, store: Store, device: torch.device, holder: connection.Connection) -> None:
        super().__init__(store, device, resident=True)
        self.holder = holder

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Generator[Images, None, None]:
        """Raises `UserError` if the holder has died, since its memory is then no longer its own."""
        for rows in batches:
            if self.holder.poll():  # it never speaks again: this is its end
                raise UserError("the process that held the images has died; the same command resumes the Run")
            yield from super().batches([rows])

    def close(self) -> None:
        """Ends the mapping. torch counts the processes that map memory, and the holder can't free it before."""
        del self.store  # the end of the process would not be counted
        self.holder.close()

    def give_up(self) -> None:
        """Asks the holder to free the images: there is too little memory for the training beside them."""
        del self.store
        with suppress(OSError, EOFError), self.holder:  # a dead holder holds nothing
            self.holder.send(GIVE_UP)
            self.holder.recv()


def open_images(
    run: Run,
    dataset: Dataset,
    environment: Environment,
    device: torch.device,
    on_note: Callable[[str], None],
) -> Source:
    """The images of `dataset` for a training: those of the plan's holder, where there is one, else its own.

    Raises what `open_source` raises.
    """
    size, rule, feed = run.recipe.stored_size, run.recipe.resize, environment.feed
    decoded = in_lines(on_note, f"images of {dataset.name} decoded")
    if environment.image_holder is not None:
        kind, content, holder = _ask(environment.image_holder, store_of(run), on_note)
        if holder is not None:
            store = open_store(dataset, size, rule, on_progress=decoded)
            return HeldSource(store.held(content), device, holder)
        if kind == "no room" and feed == "auto":
            feed = choose_feed_mode(expected_bytes(len(dataset), size, rule), device)
            feed = "pinned" if feed == "resident" else feed
        if kind == "failed":
            on_note(f"the images are not shared with other trainings ({content}); this one copies them for itself")
    copied = in_lines(on_note, f"images of {dataset.name} copied to the device")
    return open_source(dataset, size, rule, device, feed, on_progress=decoded, on_copied=copied)


def _ask(
    address: str, wanted: StoreName, on_note: Callable[[str], None]
) -> tuple[str, Any, connection.Connection | None]:
    """The holder's last answer, and the connection to it if that was the pixels."""
    holder = None
    try:
        holder = connection.Client(address, authkey=bytes(current_process().authkey))
        holder.send(wanted)
        kind, content = holder.recv()
        while kind == "note":
            on_note(content)
            kind, content = holder.recv()
    except EOFError:
        kind, content = "failed", "its process died"
    except (OSError, RuntimeError, AuthenticationError) as error:  # RuntimeError: of CUDA
        kind, content = "failed", first_line(error)
    if kind == "pixels":
        return kind, content, holder
    if holder is not None:
        holder.close()
    return kind, content, None
