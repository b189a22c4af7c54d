"""A Run whose method learns nothing by gradients of images: features are computed once, and the method is fitted.

Every image of the dataset passes once through the frozen network, un-augmented and cropped at its centre. The features
are kept (`feature_cache.py`), so another probe of them takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import hardware
from benchmarks.training import evaluate
from benchmarks.training.batches import Batches
from benchmarks.training.checkpoints.state import TrainingState
from benchmarks.training.device import nothing_learns
from benchmarks.training.engine import Engine
from benchmarks.training.frozen.feature_cache import FeatureCache, Kept, network_hash
from benchmarks.training.listener import Listener
from benchmarks.training.losses import Diverged
from benchmarks.training.memory import Room
from benchmarks.training.networks.build_method import autocast
from datasets.loading import augment
from datasets.loading.feed import Feed
from datasets.loading.store import store_key
from methods.interface import Method
from results.settings import Run

AT_ONCE = 1024
"""Features that are classified at a time."""
COMPARED = 8
"""Images whose kept features are compared with features that are computed anew."""
ALIKE = 0.05
"""Largest difference between the two, relative to their length: more than rounding in bfloat16."""


class Features(NamedTuple):
    """Of a Run's images."""

    of_split: dict[str, Tensor]
    """`(n, D)` float32 on the host."""
    seconds_per_image: float


class FrozenFit:
    """Fits the engine's method to frozen features and evaluates it."""

    def __init__(self, run: Run, engine: Engine, batches: Batches, room: Room, listener: Listener) -> None:
        self.run, self.engine, self.batches, self.room, self.listener = run, engine, batches, room, listener
        self.splits = [split for split, rows in batches.rows.items() if len(rows)]
        self.rows = np.sort(np.concatenate([batches.rows[split] for split in self.splits]))
        """Of all images of the Run: the same, however many are held out of the training images."""

    def carry_out(self, state: TrainingState) -> str | None:
        """Adds the only row of the history, and what the test images get; returns what a reader should know of it.

        Times are those of a Run without kept features, so that they may be compared. Raises `Diverged` for features or
        logits that are not finite.
        """
        began = time.monotonic()
        features, note = self._features()
        self.engine.method.eval()
        fitting = time.monotonic()
        numbers = self._fit(features.of_split["train"])
        fitted = time.monotonic() - fitting
        images = len(self.batches.rows["train"])
        seconds = images * features.seconds_per_image + fitted
        scoring = time.monotonic()
        logits = {split: self._logits(features.of_split[split]) for split in self.splits if split != "train"}
        labels = {split: self.batches.labels(split) for split in logits}
        accuracies = evaluate.choose(state.chosen, 1, logits, labels)
        tested = sum(map(len, labels.values()))
        state.evaluation_seconds = tested * features.seconds_per_image + time.monotonic() - scoring
        row = {"epoch": 1, "phase": "frozen", "loss": float("nan"), **numbers, "images": images}
        row |= {"seconds": seconds, "images_per_s": images / seconds, **accuracies}
        state.seconds = max(seconds + state.evaluation_seconds, time.monotonic() - began)
        state.end_epoch(row)
        self.listener.epoch(row, 1)
        return note

    def _fit(self, features: Tensor) -> dict[str, float]:
        device, processes = self.engine.device, self.engine.processes
        method = self.engine.method
        numbers = method.fit(features.to(device), self.batches.labels("train").to(device))
        processes.broadcast(method.state_dict().values())
        return numbers

    @torch.no_grad()
    def _logits(self, features: Tensor) -> Tensor:
        """Logits `(n, K)` float32 on the host."""
        method, device = self.engine.method, self.engine.device
        found = torch.cat([method.classify(part.to(device)).float().cpu() for part in features.split(AT_ONCE)])
        if not found.isfinite().all():
            raise Diverged("the logits are not all numbers")
        return evaluate.checked(found, len(features), self.engine.classes, "classify")

    def _features(self) -> tuple[Features, str | None]:
        """Kept or computed features, and a note on where they are from."""
        cache = FeatureCache(self.run, self._key(), len(self.rows))
        kept = cache.read()
        if not all(self.engine.processes.gather(kept is not None and self._are_alike(kept.features))):
            kept = None
        note = None
        if kept is None:
            kept = self._computed()
            note = cache.write(kept) if self.engine.processes.first else None
            if note:
                self.listener.note(note)
        else:
            self._tell_all()
            note = f"features were kept from an earlier Run; times are of when {kept.device} computed them"
            self.listener.note("features are kept from an earlier Run")
        places = {split: torch.from_numpy(self._places(split)) for split in self.splits}
        return Features({s: kept.features[place] for s, place in places.items()}, kept.seconds_per_image), note

    def _computed(self) -> Kept:
        """Of all images."""
        began = time.monotonic()
        found: Tensor | None = None
        for split in self.splits:
            own = self.room.repeated(lambda split=split: self._of_split(split))  # type: ignore[misc]
            found = own.new_zeros(len(self.rows), own.shape[1]) if found is None else found
            found[torch.from_numpy(self._places(split))] = own
        assert found is not None  # the test split has images
        seconds = (time.monotonic() - began) / len(self.rows)
        return Kept(found, seconds, hardware.device_name(self.engine.device))

    def _of_split(self, split: str) -> Tensor:
        """Of all images of a split; each process computes a share of them."""
        processes = self.engine.processes
        rows, own = processes.share(len(self.batches.rows[split])), None
        if rows.stop > rows.start:
            feed = self.batches.evaluation_feed(split, self.engine.evaluation_batch, rows)
            tell = self.listener.trained if split == "train" else self.listener.evaluated
            with nothing_learns(self.engine.device):
                own = features_of(self.engine.method, feed, self.run, tell)
        found = torch.cat([part for part in processes.gather(own) if part is not None])
        if not found.isfinite().all():
            raise Diverged("the features are not all numbers")
        return found

    def _are_alike(self, features: Tensor) -> bool:
        """Whether a few kept features are what the network gives now: another version of the code may give others."""
        rows = slice(0, COMPARED)
        feed = self.batches.evaluation_feed("test", COMPARED, rows)
        with nothing_learns(self.engine.device):
            now = features_of(self.engine.method, feed, self.run, lambda _: None)
        kept = features[torch.from_numpy(self._places("test")[rows])]
        return kept.shape == now.shape and bool((kept - now).norm() <= ALIKE * now.norm())

    def _places(self, split: str) -> np.ndarray:
        """Where the images of a split are among all rows."""
        return np.searchsorted(self.rows, self.batches.rows[split])

    def _tell_all(self) -> None:
        for split in self.splits:
            tell = self.listener.trained if split == "train" else self.listener.evaluated
            tell(len(self.batches.rows[split]))

    def _key(self) -> dict[str, object]:
        """What determines the features beside the Run's backbone and how it sees an image."""
        run, method = self.run, self.engine.method
        modules = {name: part for name, part in method.named_modules() if getattr(part, "is_backbone", False)}
        tensors = {f"{name}.{key}": one for name, part in modules.items() for key, one in part.state_dict().items()}
        return {
            "images": store_key(self.batches.dataset, run.recipe.stored_size, run.recipe.resize),
            "rows": hashlib.sha256(self.rows.tobytes()).hexdigest(),
            "network": network_hash(tensors),
            "options": json.dumps({name: run.options.get(name) for name in method.frozen_options}),
            "device": self.engine.device.type,
        }


@torch.no_grad()
def features_of(method: Method, feed: Feed, run: Run, tell: Callable[[int], None]) -> Tensor:
    """Frozen features `(n, D)` float32 of a feed's images in their order, on the host. Not in inference mode: a method
    may take gradients of what it fits to them."""
    method.eval()
    parts = []
    for batch in feed.batches(epoch=0):
        images = augment.test_batch(batch, run.recipe.image_size, run.scaling)
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(feed.device, run.precision):
            parts.append(method.frozen_features(images).float())
        tell(len(batch))
    return torch.cat(parts).cpu()
