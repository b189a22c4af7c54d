"""One Run from initial weights to final weights, evaluated on the way; goes on from its last checkpoint."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.environment import Environment
from benchmarks.planning.phases import PhasePlan, phase_plans
from benchmarks.training import checkpoint, evaluate, snapshot
from benchmarks.training.batches import Batches
from benchmarks.training.build_method import autocast
from benchmarks.training.distributed import Processes
from benchmarks.training.engine import Engine
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.numerics import numerics, seed_epoch
from benchmarks.training.optim import build_optimizer, lr_factor, select_trainable
from benchmarks.training.out_of_memory import ran_out
from benchmarks.training.selection import Choice, consider
from benchmarks.training.state import NEVER, Diverged, Progress
from benchmarks.training.tensorboard import Scalars
from datasets.loading.feed import Feed
from datasets.loading.sampling import batch_generator
from datasets.loading.sources import open_source
from methods.interface import Method
from results.settings import Run

LOOK_EVERY = 20
"""Batches between two looks at what a GPU has computed: each makes the host wait. A CPU's numbers are at hand."""


@dataclass
class TrainingResult:
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
    micro_batch: int
    """Images that one backward pass took at the most."""
    processes: int
    compile_seconds: float | None
    """Of the warm-up before training, which no other time contains; None: nothing was compiled."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the result should know of how it came about, a line each."""
        return self.progress.notes


class Trainer:
    """The one training loop. `train()` runs it to the end; interrupted, a new Trainer on the same folder goes on.

    Of several processes that train together each has its Trainer; the first alone writes and is heard.
    """

    def __init__(self, run: Run, environment: Environment, folder: Path, listener: Listener) -> None:
        self.run, self.recipe, self.environment, self.folder = run, run.recipe, environment, folder
        self.processes = Processes.join(environment.device)
        self.device = self.processes.device
        self.listener = listener if self.processes.first else Silent()
        self.dataset = environment.open(run.dataset, run.dataset_options)
        self.batches = Batches(run, self.dataset, self.processes)
        self.rows = self.batches.rows
        self.engine = Engine(run, environment, len(self.dataset.classes), self.processes)
        # After the network, whose memory then counts as taken where the images' way is chosen.
        size, resize = run.recipe.stored_size, run.recipe.resize
        self.batches.source = open_source(
            self.dataset, size, resize, self.device, environment.feed, progress=self._decoding
        )
        self.phases = phase_plans(self.method, run.recipe)
        self.epochs = sum(phase.epochs for phase in self.phases)
        self.progress, self.finished = Progress(), False
        self.scalars = Scalars(None)
        self.mark = time.monotonic()
        self.next_save = self.mark + environment.execution.checkpoint_seconds

    @property
    def method(self) -> Method:
        """What is trained."""
        return self.engine.method

    def train(self) -> TrainingResult:
        """Trains and evaluates. Raises `Diverged`, `UserError`, or whatever method and device raise."""
        with numerics(self.run.precision, self.environment.execution.deterministic):
            while not self._reaches_the_end():
                self._note(self.engine.halve(max(phase.batch_size for phase in self.phases)))
        self.scalars.close()
        seconds = sum(row["seconds"] for row in self.progress.history)
        return TrainingResult(
            self.method,
            self.progress,
            self.rows["test"],
            self.engine.weights,
            seconds,
            self.progress.images_in_all / seconds,
            torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None,
            {name: len(rows) for name, rows in self.rows.items()},
            self.engine.micro_batch,
            self.processes.world,
            self.engine.compile_seconds if self.engine.compiled else None,
        )

    def _reaches_the_end(self) -> bool:
        """Trains from the last checkpoint, or from the beginning. False: memory ran out on the way."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # an attempt that did not fit is no part of the result
        try:
            state = self._resume()
            left = self._phases_left()
            if note := self.engine.rehearse([phase for phase, _ in left], self.batches, self.progress.epoch):
                self._note(note)
            if state is None:
                self._before_the_epochs()
            for phase, first in left:
                self._train_phase(phase, first, state)
                state = None
            self._after_the_epochs()
        except Exception as error:
            # Of several processes the others wait for a sum that will not come: torchrun has to end them.
            if self.processes.world > 1 or not self._ran_out(error):
                raise
            return False
        return True

    def _ran_out(self, error: Exception) -> bool:
        """Whether the GPU's memory was too small; libraries below torch say so in errors of other types."""
        return isinstance(error, torch.OutOfMemoryError) or (self.device.type == "cuda" and ran_out(error))

    def _phases_left(self) -> list[tuple[PhasePlan, int]]:
        """Phases that are not over, each with the number of its first epoch."""
        firsts = np.cumsum([0, *(phase.epochs for phase in self.phases)]).tolist()
        phases = zip(self.phases, firsts, strict=False)
        return [(phase, first) for phase, first in phases if self.progress.epoch < first + phase.epochs]

    def _before_the_epochs(self) -> None:
        """The method's first step, if it has one."""
        self.method.eval()
        with torch.no_grad():
            self.method.initialise(self.batches.unaugmented(self.engine.evaluation_batch))
        self.processes.follow_first(self.method.state_dict().values())

    def _after_the_epochs(self) -> None:
        """The method's last step, if it has one; no earlier epoch can then be selected, none was evaluated with it."""
        self.method.eval()
        with torch.no_grad(), autocast(self.device, self.run.precision):
            self.finished = self.method.finish(self.batches.unaugmented(self.engine.evaluation_batch))
        if self.finished:
            self.processes.follow_first(self.method.state_dict().values())
            self.progress.chosen = {"last": Choice(self.epochs, self._logits("test"), (self.epochs,))}

    def _train_phase(self, phase: PhasePlan, first: int, state: dict[str, Any] | None) -> None:
        progress = self.progress
        select_trainable(self.method, phase)
        self.method.zero_grad(set_to_none=True)  # what an earlier phase left would count when gradients are clipped
        optimizer = build_optimizer(self.method, phase, self.recipe)
        base = [group["lr"] for group in optimizer.param_groups]
        if state is not None and (progress.epoch, progress.batch) > (first, 0):
            optimizer.load_state_dict(state["optimizer"])
        feed = self.batches.training_feed(phase.batch_size, self.method.sampling)
        while progress.epoch < first + phase.epochs:
            row = self._train_epoch(phase, progress.epoch - first, optimizer, base, feed)
            epoch = progress.epoch + 1
            if epoch % self.recipe.evaluate_every == 0 or epoch == self.epochs:
                row |= self._evaluate(epoch)
            progress.epoch_ends(row)
            self.scalars.add("epoch", row, progress.images_in_all)
            self._save(optimizer)
            self.listener.epoch(row, self.epochs)

    def _train_epoch(
        self, phase: PhasePlan, epoch_of_phase: int, optimizer: torch.optim.Optimizer, base: list[float], feed: Feed
    ) -> dict[str, Any]:
        progress = self.progress
        select_trainable(self.method, phase)
        if progress.batch == 0:  # every epoch draws from its own stream
            seed_epoch(self.run.seed, progress.epoch, self.processes.rank)
        self._tick()
        for batch in self.batches.training(feed, progress.epoch, progress.batch):
            factor = lr_factor(phase.schedule, phase.epochs, epoch_of_phase + batch.number / len(feed))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            for losses in self.engine.steps(phase, batch, optimizer):
                progress.losses.add(batch.number, losses)
            progress.batch, progress.images = batch.number + 1, progress.images + batch.whole
            self.listener.trained(batch.whole)
            self._look(optimizer, len(feed))
        means = self._means(len(feed))
        progress.epoch_seconds += self._tick()
        factor = lr_factor(phase.schedule, phase.epochs, epoch_of_phase + (len(feed) - 1) / len(feed))
        return {
            "epoch": progress.epoch + 1,
            "phase": phase.name,
            "loss": sum(means.values()),
            **{f"loss.{name}": value for name, value in means.items()},
            "lr": phase.optimizer.lr * factor,
            "images": progress.images,
            "seconds": progress.epoch_seconds,
            "images_per_s": progress.images / progress.epoch_seconds,
        }

    def _look(self, optimizer: torch.optim.Optimizer, batches: int) -> None:
        """Between two batches, where it costs little: stops what has diverged, saves when it is time."""
        progress, now_and_then = self.progress, self.progress.batch % LOOK_EVERY == 0
        if self.device.type == "cuda" and not now_and_then:
            return
        late = self._check_losses()
        if now_and_then and self.scalars.wanted:
            terms = {name: value.item() for name, value in progress.losses.latest.items()}
            self.scalars.add("batch", terms | {"lr": optimizer.param_groups[0]["lr"]}, progress.images_in_all)
        if late and progress.batch < batches:  # after the last one, what the epoch gives is to be saved with it
            progress.epoch_seconds += self._tick()
            self._save(optimizer)

    def _check_losses(self) -> bool:
        """Whether it is time to save, as the first process has it. Waits for the device.

        Raises `Diverged`, in all processes, if a loss of this epoch was not a number.
        """
        first_bad, late = self.progress.losses.first_bad, time.monotonic() >= self.next_save
        if self.processes.world > 1:
            wish = torch.tensor(-int(late and self.processes.first), device=first_bad.device)
            first_bad, wish = self.processes.least(torch.stack([first_bad, wish]))
            late = bool(wish)
        if (number := int(first_bad)) == NEVER:
            return late
        epoch = self.progress.epoch
        drawn_from = batch_generator(self.run.seed, epoch, number).initial_seed()
        terms = {name: self.processes.sum(value).item() for name, value in self.progress.losses.latest.items()}
        raise Diverged.in_batch(epoch + 1, number + 1, drawn_from, terms)

    def _means(self, batches: int) -> dict[str, float]:
        """Each loss per batch of the epoch, also where a batch makes several steps. Raises `Diverged`."""
        self._check_losses()
        sums = {name: self.processes.sum(value.clone()) for name, value in self.progress.losses.sums.items()}
        return {name: (value / batches).item() for name, value in sums.items()}

    def _evaluate(self, epoch: int) -> dict[str, float]:
        """Scores this epoch's weights on validation slice and test set, and keeps those that are chosen."""
        logits = {split: self._logits(split) for split in ("test", "validation") if len(self.rows[split])}
        return consider(self.progress.chosen, epoch, logits, {split: self._labels(split) for split in logits})

    def _logits(self, split: str) -> Tensor:
        """Logits of a whole split; each process computes a share.

        Raises `Diverged` if one is not a number: the last step may have spoilt weights.
        """
        self.processes.follow_first(self.method.buffers())  # each has running statistics of its own share
        rows = self.processes.share(len(self.rows[split]))
        logits = torch.zeros(len(self.rows[split]), len(self.dataset.classes))
        if rows.stop > rows.start:
            feed = self.batches.evaluation_feed(split, self.engine.evaluation_batch, rows)
            found = self.engine.logits(feed, self.listener)
            logits[rows] = evaluate.checked(found, rows.stop - rows.start, len(self.dataset.classes))
        logits = self.processes.sum(logits.to(self.device)).cpu() if self.processes.world > 1 else logits
        if not logits.isfinite().all():
            raise Diverged(f"the logits of the {split} images are not all numbers")
        return logits

    def _labels(self, split: str) -> Tensor:
        return self.batches.labels(split)

    def _resume(self) -> dict[str, Any] | None:
        """Takes up what the last checkpoint holds and returns it, for the optimiser; None: there is none."""
        notes = self.progress.notes
        self.progress = Progress(notes=notes)
        state, found = checkpoint.load(self.folder, self.run)
        for note in found:
            self._note(note)
        if state is not None:
            try:
                self.progress = snapshot.put_back(state, self.engine)
            except RuntimeError:
                self._note("the checkpoint is of other code")
                self.engine.build()  # some weights may have been loaded
                state = None
        if state is not None:
            self.progress.notes += [note for note in notes if note not in self.progress.notes]
            where = f"epoch {self.progress.epoch}"
            where += f" and {self.progress.batch} batches" if self.progress.batch else ""
            self.listener.note(f"goes on after {where} of {self.epochs}")
        elif notes:
            self.listener.note("training starts again from the beginning")
        self._open_scalars()
        return state

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self._tick()
        state = snapshot.take(self.engine, self.progress, optimizer)
        if self.processes.first:
            checkpoint.save(self.folder, self.run, state)
        self._tick()
        self.next_save = self.mark + self.environment.execution.checkpoint_seconds

    def _open_scalars(self) -> None:
        wanted = self.environment.execution.tensorboard and self.processes.first
        self.scalars.close()
        self.scalars = Scalars(self.folder / "tensorboard" if wanted else None, self.progress.images_in_all)

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
