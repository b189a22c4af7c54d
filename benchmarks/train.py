"""One Run from initial weights to final weights, evaluated on the way; goes on from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
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
from benchmarks.progress import Choice, Diverged, Progress
from benchmarks.settings import Run
from datasets import augment
from datasets.feed import Feed
from datasets.interface import Dataset
from datasets.mixing import mix
from datasets.order import batch_generator
from datasets.sources import open_source
from methods.interface import Method

EVALUATION_BATCH = 64
"""Images per forward pass of an evaluation: has no influence on the result, only on speed and memory."""
LOOK_EVERY = 20
"""Batches between two looks at what a GPU has computed: each makes the host wait. A CPU's numbers are at hand."""


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
        self.execution = place.execution
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
        self.mark = time.monotonic()
        self.next_save = self.mark + place.execution.checkpoint_seconds

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
        progress = self.progress
        select_trainable(self.method, phase)
        self.method.zero_grad(set_to_none=True)  # what an earlier phase left would count when gradients are clipped
        optimizer = build_optimizer(self.method, phase, self.recipe)
        base = [group["lr"] for group in optimizer.param_groups]
        if state is not None and (progress.epoch, progress.batch) > (first, 0):
            optimizer.load_state_dict(state["optimizer"])
        feed = self._feed("train", phase.batch_size, shuffle=True, sampling=self._sampling())
        while progress.epoch < first + phase.epochs:
            row = self._train_epoch(phase, progress.epoch - first, optimizer, base, feed)
            epoch = progress.epoch + 1
            if epoch % self.recipe.evaluate_every == 0 or epoch == self.epochs:
                row |= self._evaluate(epoch)
            progress.epoch_ends(row)
            self._save(optimizer)
            self.listener.epoch(row, self.epochs)

    def _train_epoch(
        self, phase: PhasePlan, epoch_of_phase: int, optimizer: torch.optim.Optimizer, base: list[float], feed: Feed
    ) -> dict[str, Any]:
        progress, number = self.progress, self.progress.batch - 1
        select_trainable(self.method, phase)
        if progress.batch == 0:  # every epoch draws from its own stream
            torch.manual_seed(_mix(self.run.seed, progress.epoch))
        self._tick()
        for number, images, labels in self._batches(feed):
            factor = lr_factor(phase.schedule, phase.epochs, epoch_of_phase + number / len(feed))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            for losses in take_steps(self.method, images, labels, optimizer, self.run.precision, self.recipe.clip_norm):
                progress.losses.add(number, losses)
            progress.batch, progress.images = number + 1, progress.images + len(images)
            self.listener.trained(len(images))
            self._look(optimizer)
        means = self._means(len(feed))
        progress.epoch_seconds += self._tick()
        last = lr_factor(phase.schedule, phase.epochs, epoch_of_phase + number / len(feed))
        return {
            "epoch": progress.epoch + 1,
            "phase": phase.name,
            "loss": sum(means.values()),
            **{f"loss.{name}": value for name, value in means.items()},
            "lr": phase.optimizer.lr * last,
            "images": progress.images,
            "seconds": progress.epoch_seconds,
            "images_per_s": progress.images / progress.epoch_seconds,
        }

    def _batches(self, feed: Feed) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Number, augmented images and labels of each batch that is left of the epoch."""
        recipe, epoch, classes = self.recipe, self.progress.epoch, len(self.dataset.classes)
        for number, batch in enumerate(feed.batches(epoch, self.progress.batch), self.progress.batch):
            draws = batch_generator(self.run.seed, epoch, number)
            images = augment.train_batch(batch, recipe.augment, recipe.image_size, draws)
            images, labels = mix(images, batch.labels, classes, recipe.augment.mixing, epoch, draws)
            yield number, images.contiguous(memory_format=torch.channels_last), labels

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        """Between two batches, where it costs little: stops what has diverged, saves when it is time."""
        if self.device.type == "cuda" and self.progress.batch % LOOK_EVERY:
            return
        self._check_losses()
        if time.monotonic() >= self.next_save:
            self.progress.epoch_seconds += self._tick()
            self._save(optimizer)

    def _means(self, batches: int) -> dict[str, float]:
        """Each loss per batch of the epoch. Raises `Diverged`."""
        self._check_losses()
        return self.progress.losses.means(batches)

    def _check_losses(self) -> None:
        """Raises `Diverged` if a loss of this epoch was not a number. Waits for the device."""
        if (number := int(self.progress.losses.first_bad.item())) < 0:
            return
        epoch = self.progress.epoch
        terms = {name: value.item() for name, value in self.progress.losses.latest.items()}
        drawn_from = batch_generator(self.run.seed, epoch, number).initial_seed()
        raise Diverged(
            f"a loss is not a number in epoch {epoch + 1}, batch {number + 1} (drawn from seed {drawn_from}): "
            + ", ".join(f"{name} {value:.6g}" for name, value in terms.items()),
            {"epoch": epoch + 1, "batch": number + 1, "seed": drawn_from, "losses": terms},
        )

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
        state, notes = checkpoint.load(self.folder, self.run)
        for note in notes:
            self._note(note)
        if state is None:
            if notes:
                self._note("no checkpoint is whole; training starts again from the beginning")
            return None
        try:
            self.method.load_state_dict(state["method"])
        except RuntimeError:
            self._note("the checkpoint is of other code; training starts again from the beginning")
            self._build()  # some weights may have been loaded
            return None
        self.progress = Progress.of(state, self.device)
        self.progress.resumed += 1
        self.progress.notes += notes
        set_random_state(state["random"], self.device)
        where = f"epoch {self.progress.epoch}" + (f" and {self.progress.batch} batches" if self.progress.batch else "")
        self.listener.note(f"goes on after {where} of {self.epochs}")
        return state

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self._tick()
        state = {
            **self.progress.state(),
            "method": self.method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random_state(self.device),
        }
        checkpoint.save(self.folder, self.run, state)
        self._tick()
        self.next_save = self.mark + self.execution.checkpoint_seconds

    def _tick(self) -> float:
        """Seconds since it was last called; they count for the whole training."""
        now = time.monotonic()
        passed, self.mark = now - self.mark, now
        self.progress.seconds += passed
        return passed

    def _note(self, text: str) -> None:
        """Tells the person who watches, and the reader of the result."""
        self.progress.notes.append(text)
        self.listener.note(text)

    def _decoding(self, done: int, total: int) -> None:
        if done == total or done % 1000 == 0:
            self.listener.note(f"decoded {done} of {total} images of {self.dataset.name}")


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Of the generators that methods draw from: torch's on the host, and the GPU's."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Lets them draw on from what `random_state` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _mix(seed: int, epoch: int) -> int:
    """A generator seed that differs between all (seed, epoch) in use."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 2)
