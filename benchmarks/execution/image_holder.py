"""A process that keeps decoded images on the device for as long as a plan lasts, in one copy for all its trainings."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import AuthenticationError, connection, current_process
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from benchmarks import isolation
from benchmarks.environment import Environment
from benchmarks.errors import first_line
from benchmarks.training.device import ran_out_of_memory
from benchmarks.training.listener import in_lines
from benchmarks.training.shared_images import GIVE_UP, Answer, StoreName, store_of
from datasets.loading.sources import choose_feed_mode, expected_bytes
from datasets.loading.store import open_store
from results.settings import AnyRun, Run

READY = "ready"
"""What the process says once trainings can connect."""


class ImageHolder:
    """The holder of a plan, started by the first training that has a use for it: one whose images another training of
    `to_do` needs too. Must be closed."""

    def __init__(self, to_do: Sequence[AnyRun], environment: Environment) -> None:
        self.environment = environment
        feeds = ("auto", "resident") if environment.device == "cuda" else ("resident",)
        readers = Counter(store_of(run) for run in to_do if isinstance(run, Run) and environment.feed in feeds)
        self.shared = {name for name, number in readers.items() if number > 1}
        self.process: isolation.Isolated | None = None
        # In Linux's abstract namespace: a socket that leaves no file behind, whatever ends this process.
        self.address = f"\0fgbench-{uuid4().hex}"

    def environment_of(self, case: AnyRun, on_note: Callable[[str], None]) -> Environment:
        """The machine for this Run: with the address of the holder, if it is of use. A measurement must find the device
        empty, so the holder is ended before it; no Run may be at work then."""
        if not isinstance(case, Run):
            self.close()
        elif store_of(case) in self.shared and self._started(on_note):
            return replace(self.environment, image_holder=self.address)
        return self.environment

    def close(self) -> None:
        """Ends the process. It has nothing to save."""
        if self.process is not None:
            self.process.process.kill()
            isolation.stop([self.process])
            self.process = None

    def _started(self, on_note: Callable[[str], None]) -> bool:
        """Whether the process could be started, now or before. One that has died since is not started again."""
        if self.process is None:
            said: list[str] = []
            with suppress(isolation.WorkerDied):
                self.process = isolation.Isolated(hold, self.address, self.environment, on_message=said.append)
                self.process.hear()
            if said != [READY]:
                self.shared = set()
                on_note("the process that shares images could not be started; each training copies them")
                self.close()
        return self.process is not None


def hold(address: str, environment: Environment, send: isolation.Send) -> None:
    """What the process does: serves every training that connects to the socket `address`, until it is ended."""
    held = HeldStores(environment)
    with connection.Listener(address, authkey=bytes(current_process().authkey)) as listener:
        send(READY)
        while True:
            with suppress(OSError, EOFError, AuthenticationError):  # a training that died as it connected
                client = listener.accept()
                threading.Thread(target=_serve, args=(client, held), daemon=True).start()


def _serve(client: connection.Connection, held: HeldStores) -> None:
    """Answers one training, and stays connected: the end of the connection tells each the end of the other."""
    with client, suppress(OSError, EOFError), held.freed_afterwards():
        name, refused = client.recv(), None
        try:
            client.send(held.answer(name, lambda text: client.send(("note", text))))
        except RuntimeError as error:  # CUDA IPC is not there in some containers, nor in WSL
            refused = first_line(error)
        if refused is not None:  # the error, which kept the pixels alive, is gone only here
            client.send(held.not_shared(refused))
        while client.recv() == GIVE_UP:
            held.give_up(name)
            client.send(("no room", None))


class HeldStores:
    """Stores on the device. A further one pushes out the others if it has no room beside them."""

    def __init__(self, environment: Environment) -> None:
        self.environment, self.device = environment, torch.device(environment.device)
        self.pixels: dict[StoreName, Tensor] = {}
        self.given_up: set[StoreName] = set()
        self.no_sharing: str | None = None
        """Why trainings can't map the device's memory, if they can't."""
        self.lock = threading.Lock()

    def answer(self, name: StoreName, on_note: Callable[[str], None]) -> Answer:
        """The pixels of a store, checked once against their checksums; or why there are none."""
        with self.lock:
            if self.no_sharing is not None:
                return "failed", self.no_sharing
            if name not in self.pixels and name not in self.given_up:
                try:
                    self._load(name, on_note)
                except Exception as error:  # whatever it is, the training that asks meets it too, and reports it
                    if not ran_out_of_memory(error):
                        return "failed", first_line(error)
                    self._drop([name])
            return ("pixels", self.pixels[name]) if name in self.pixels else ("no room", None)

    def give_up(self, name: StoreName) -> None:
        """Frees a store for good. Trainings that still map it keep it until they end."""
        with self.lock:
            self.given_up.add(name)
            self._drop([name])

    def not_shared(self, reason: str) -> Answer:
        """Frees all stores, since trainings can't map them and need the memory for their own copies."""
        with self.lock:
            self.no_sharing = reason
            self._drop(list(self.pixels))
        return "failed", reason

    @contextmanager
    def freed_afterwards(self) -> Iterator[None]:
        """Around the work of a training: when it has ended, what it was the last to map is freed, if it was dropped."""
        try:
            yield
        finally:
            with self.lock:
                self._drop([])

    def _load(self, name: StoreName, on_note: Callable[[str], None]) -> None:
        dataset = self.environment.open(name.dataset, json.loads(name.options))
        needed = expected_bytes(len(dataset), name.size, name.rule)
        if not self._has_room(needed):
            self._drop(list(self.pixels))
            if not self._has_room(needed):
                return
        decoded = in_lines(on_note, f"images of {dataset.name} decoded")
        store = open_store(dataset, name.size, name.rule, on_progress=decoded)
        copied = in_lines(on_note, f"images of {dataset.name} copied to the device")
        self.pixels[name] = store.to(self.device, np.arange(len(store)), copied).pixels

    def _has_room(self, needed: int) -> bool:
        return self.environment.feed == "resident" or choose_feed_mode(needed, self.device) == "resident"

    def _drop(self, names: Sequence[StoreName]) -> None:
        for name in names:
            self.pixels.pop(name, None)
        if self.device.type == "cuda":
            torch.cuda.ipc_collect()
            torch.cuda.empty_cache()
