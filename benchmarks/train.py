"""One Run from initial weights to final weights, evaluated on the way; goes on from its last whole epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import checkpoint, evaluate
from benchmarks.build import autocast, build_method
from benchmarks.display import Listener
from benchmarks.errors import UserError
from benchmarks.optimise import PhasePlan, build_optimizer, lr_factor, phase_plans, select_trainable, take_steps
from benchmarks.plan import Place
from benchmarks.settings import Run
from datasets import augment
from datasets.feed import Feed
from datasets.interface import Dataset
from datasets.mixing import mix
from datasets.order import batch_generator
from datasets.sources import open_source
from methods.interface import Method
from results.record import Selection

EVALUATION_BATCH = 64
"""Images per forward pass of an evaluation: has no influence on the result, only on speed and memory."""


class Diverged(Exception):  # noqa: N818 - reads as what it is
    """A loss stopped being a number."""


@dataclass
class Choice:
    """The test logits of one epoch's weights, and why that epoch was chosen."""

    epoch: int
    logits: Tensor
    """(N, K) float32, over the whole test set in its order."""
    score: tuple[float, ...]
    """What the choice was made by, larger is better."""

    def better_than(self, other: Choice | None) -> bool:
        """Strictly: of equal epochs the earlier one stays."""
        return other is None or self.score > other.score


@dataclass
class Progress:
    """All that grows during a training and is kept in its checkpoint, beside weights and optimiser."""

    epoch: int = 0
    """Whole epochs done."""
    history: list[dict[str, Any]] = field(default_factory=list)
    chosen: dict[Selection, Choice] = field(default_factory=dict)
    seconds: float = 0.0
    resumed: int = 0


@dataclass
class Trained:
    """What a finished training leaves."""

    method: Method
    progress: Progress
    test_rows: np.ndarray
    weights: list[dict[str, Any]]
    training_seconds: float
    images_per_s: float
    peak_memory: int | None
    """Bytes allocated on the GPU; a CPU's memory is measured by profile Runs, each in its own process."""
    counts: dict[str, int]


class Trainer:
    """The one training loop. `train()` runs it to the end; interrupted, a new Trainer on the same folder goes on."""

    def __init__(self, run: Run, place: Place, folder: Path, listener: Listener) -> None:
        self.run, self.recipe, self.place, self.folder, self.listener = run, run.recipe, place, folder, listener
        self.device = torch.device(place.device)
        self.dataset: Dataset = place.open(run.dataset, run.dataset_options)
        self.rows = self.dataset.split(run.recipe.validation)
        if not len(self.rows["test"]):
            raise UserError(f"{run.dataset} has no test image; nothing could be evaluated")
        self._build()
        # After the network, whose memory then counts as taken where the images' way is chosen.
        self.source = open_source(
            self.dataset,
            run.recipe.stored_size,
            run.recipe.resize,
            self.device,
            place.feed,
            progress=self._decoding,
        )
        self.phases = phase_plans(self.method, run.recipe)
        self.epochs = sum(phase.epochs for phase in self.phases)
        self.progress = Progress()
        self.finished = False

    def _build(self) -> None:
        torch.manual_seed(self.run.seed)
        classes = len(self.dataset.classes)
        self.method, self.weights = build_method(self.run, classes, self.place.weights_root, self.device)

    def train(self) -> Trained:
        """Trains and evaluates. Raises `Diverged`, or whatever method and device raise."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        state = self._resume()
        if state is None:
            with torch.no_grad():
                self.method.initialise(self._initial_batches())
        first = 0
        for phase in self.phases:
            if self.progress.epoch < first + phase.epochs:
                self._train_phase(phase, first, state)
                state = None
            first += phase.epochs
        self._finish()
        history = self.progress.history
        seconds = sum(row["seconds"] for row in history)
        images = sum(row["images"] for row in history)
        return Trained(
            self.method,
            self.progress,
            self.rows["test"],
            self.weights,
            seconds,
            images / seconds,
            torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None,
            {name: len(rows) for name, rows in self.rows.items()},
        )

    def _finish(self) -> None:
        """The method's last step, if it has one; no earlier epoch can then be selected, none was evaluated with it."""
        self.method.eval()
        with torch.no_grad(), autocast(self.device, self.run.precision):
            self.finished = self.method.finish(self._initial_batches())
        if self.finished:
            self.progress.chosen = {"last": Choice(self.epochs, self._logits("test"), (self.epochs,))}

    def _train_phase(self, phase: PhasePlan, first: int, state: dict[str, Any] | None) -> None:
        select_trainable(self.method, phase)
        self.method.zero_grad(set_to_none=True)  # what an earlier phase left would count when gradients are clipped
        optimizer = build_optimizer(self.method, phase, self.recipe)
        base = [group["lr"] for group in optimizer.param_groups]
        if state is not None and self.progress.epoch > first:
            optimizer.load_state_dict(state["optimizer"])
        feed = self._feed("train", phase.batch_size, shuffle=True, sampling=self._sampling())
        for epoch in range(self.progress.epoch, first + phase.epochs):
            began = time.monotonic()
            row = self._train_epoch(phase, epoch, epoch - first, optimizer, base, feed)
            if (epoch + 1) % self.recipe.evaluate_every == 0 or epoch + 1 == self.epochs:
                row |= self._evaluate(epoch + 1)
            self.progress.epoch = epoch + 1
            self.progress.history.append(row)
            self.progress.seconds += time.monotonic() - began
            self._save(optimizer)
            self.listener.epoch(row, self.epochs)

    def _train_epoch(
        self,
        phase: PhasePlan,
        epoch: int,
        epoch_of_phase: int,
        optimizer: torch.optim.Optimizer,
        base: list[float],
        feed: Feed,
    ) -> dict[str, Any]:
        select_trainable(self.method, phase)
        # Every epoch draws from its own stream: one that is begun again after an interruption repeats itself.
        torch.manual_seed(_mix(self.run.seed, epoch))
        sums: dict[str, Tensor] = {}
        images, classes = 0, len(self.dataset.classes)
        began = time.monotonic()
        for number, batch in enumerate(feed.batches(epoch)):
            factor = lr_factor(phase.schedule, phase.epochs, epoch_of_phase + number / len(feed))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            draws = batch_generator(self.run.seed, epoch, number)
            pictures = augment.train_batch(batch, self.recipe.augment, self.recipe.image_size, draws)
            pictures, labels = mix(pictures, batch.labels, classes, self.recipe.augment.mixing, epoch, draws)
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            precision, norm = self.run.precision, self.recipe.clip_norm
            for losses in take_steps(self.method, pictures, labels, optimizer, precision, norm):
                for name, value in losses.items():
                    sums[name] = sums.get(name, torch.zeros_like(value)) + value
            images += len(batch)
            self.listener.trained(len(batch))
        # Per batch, also where a batch makes several steps; the epoch's one wait for the device.
        mean = {name: (value / (number + 1)).item() for name, value in sums.items()}
        seconds = time.monotonic() - began
        loss = sum(mean.values())
        if not np.isfinite(loss):
            raise Diverged(f"a loss is not a number after epoch {epoch + 1}: {mean}; lower the learning rate")
        return {
            "epoch": epoch + 1,
            "phase": phase.name,
            "loss": loss,
            **{f"loss.{name}": value for name, value in mean.items()},
            "lr": phase.optimizer.lr * factor,
            "images": images,
            "seconds": seconds,
            "images_per_s": images / seconds,
        }

    def _evaluate(self, epoch: int) -> dict[str, float]:
        """Scores this epoch's weights on validation slice and test set, and keeps those that are chosen."""
        test = self._logits("test")
        test_labels = self._labels("test")
        scores = {"test_top1": evaluate.top1(test, test_labels)}
        chosen = self.progress.chosen
        chosen["last"] = Choice(epoch, test, (epoch,))
        on_test = Choice(epoch, test, (scores["test_top1"],))
        if on_test.better_than(chosen.get("best_on_test")):
            chosen["best_on_test"] = on_test
        if len(self.rows["validation"]):
            validation, labels = self._logits("validation"), self._labels("validation")
            scores["validation_top1"] = evaluate.top1(validation, labels)
            # A small slice has many ties in accuracy; the likelihood decides among them.
            score = (scores["validation_top1"], -evaluate.log_loss(validation, labels))
            on_validation = Choice(epoch, test, score)
            if on_validation.better_than(chosen.get("validation")):
                chosen["validation"] = on_validation
        return scores

    def _logits(self, split: str) -> Tensor:
        """Logits of a whole split. Raises `Diverged` if one is not a number: the last step may have spoilt weights."""
        feed = self._feed(split, EVALUATION_BATCH, shuffle=False)
        logits = evaluate.logits_of(self.method, feed, self.recipe.image_size, self.run.precision, self.listener)
        if not logits.isfinite().all():
            raise Diverged(f"the logits of the {split} images are not all numbers; lower the learning rate")
        return logits

    def _labels(self, split: str) -> Tensor:
        return torch.from_numpy(self.dataset.labels[self.rows[split]])

    def _feed(self, split: str, batch_size: int, shuffle: bool, sampling: tuple[int, int] | None = None) -> Feed:
        return Feed(
            self.source,
            self.rows[split],
            self.dataset.labels,
            batch_size,
            seed=self.run.seed,
            shuffle=shuffle,
            # Batch norm can't learn from one image with a 1 × 1 map: a last batch of one is left out of its epoch.
            drop_last=shuffle and len(self.rows[split]) % batch_size == 1 and len(self.rows[split]) > 1,
            sampling=sampling,
        )

    def _sampling(self) -> tuple[int, int] | None:
        wish = self.method.sampling
        if wish.classes is None or wish.images_per_class is None:
            return None
        return wish.classes, wish.images_per_class

    def _initial_batches(self) -> Any:
        """Un-augmented training batches for `Method.initialise`, in evaluation mode."""
        self.method.eval()
        for batch in self._feed("train", EVALUATION_BATCH, shuffle=False).batches(epoch=0):
            images = augment.test_batch(batch, self.recipe.image_size)
            yield images.contiguous(memory_format=torch.channels_last), batch.labels

    def _resume(self) -> dict[str, Any] | None:
        try:
            state = checkpoint.load(self.folder, self.run.hash)
        except checkpoint.DamagedCheckpoint as error:
            self.listener.note(f"{error}; training starts again from the beginning")
            return None
        if state is None:
            return None
        try:
            self.method.load_state_dict(state["method"])
        except RuntimeError:
            self.listener.note("the checkpoint is of other code; training starts again from the beginning")
            self._build()  # some weights may have been loaded
            return None
        chosen = {name: Choice(**values) for name, values in state["chosen"].items()}
        self.progress = Progress(state["epoch"], state["history"], chosen, state["seconds"], state["resumed"] + 1)
        self.listener.note(f"goes on after epoch {self.progress.epoch} of {self.epochs}")
        return state

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        progress = self.progress
        state = {
            "method": self.method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": progress.epoch,
            "history": progress.history,
            "chosen": {name: vars(choice) for name, choice in progress.chosen.items()},
            "seconds": progress.seconds,
            "resumed": progress.resumed,
        }
        checkpoint.save(self.folder, self.run.hash, state)

    def _decoding(self, done: int, total: int) -> None:
        if done == total or done % 1000 == 0:
            self.listener.note(f"decoded {done} of {total} images of {self.dataset.name}")


def _mix(seed: int, epoch: int) -> int:
    """A generator seed that differs between all (seed, epoch) in use."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 2)
