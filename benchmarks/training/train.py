"""One Run from initial to final weights, with evaluations on the way; resumes from its last checkpoint."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.phases import PhasePlan, phase_plans, with_epochs
from benchmarks.training.batches import Batches
from benchmarks.training.checkpoints import checkpoint
from benchmarks.training.checkpoints.state import TrainingResult, TrainingState, begun_with, capture, restore
from benchmarks.training.checkpoints.writer import CheckpointWriter
from benchmarks.training.device import (
    OutOfMemoryWithoutGradients,
    gpu_ran_out_of_memory,
    nothing_learns,
    numerics,
    seed_epoch,
    threads_restored,
)
from benchmarks.training.distributed import Processes
from benchmarks.training.engine import Engine
from benchmarks.training.frozen.fit import FrozenFit
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.memory import Room
from benchmarks.training.networks.build_method import autocast
from benchmarks.training.networks.identity import check_dataset
from benchmarks.training.optim import build_optimizer, lr_factor, select_trainable
from benchmarks.training.scorer import Scorer
from benchmarks.training.shared_images import open_images
from benchmarks.training.tensorboard import TensorBoardLog
from datasets.loading.feed import Feed
from methods.interface import Method
from results.files import make_folder
from results.record import ReadOut
from results.settings import Run
from results.store import CHECKPOINT

CHECK_EVERY = 20
"""Batches between two checks of a GPU's losses: each makes the host wait. On a CPU every batch is checked."""


class Trainer:
    """The training loop. `train()` runs it to the end; after an interruption, a new Trainer on the same folder resumes.

    Of several processes that train together, each has its own Trainer; only the first writes and reports progress.
    """

    def __init__(self, run: Run, environment: Environment, folder: Path, listener: Listener) -> None:
        self.run, self.recipe, self.environment, self.folder = run, run.recipe, environment, folder
        self.processes = Processes.join(environment.device)
        self.device = self.processes.device
        self.listener = listener if self.processes.first else Silent()
        self.dataset = environment.open(run.dataset, run.dataset_options)
        check_dataset(run, self.dataset)
        self.batches = Batches(run, self.dataset, self.processes, environment.execution.compile)
        self.engine = Engine(run, environment, len(self.dataset.classes), self.processes)
        for text in self.engine.about_input:
            self.listener.note(text)
        self.batches.open(lambda: open_images(run, self.dataset, environment, self.device, self.listener.note))
        self.room = Room(self.engine, self.batches, self._note)
        self.scorer = Scorer(self.engine, self.batches, self.room, self.listener)
        self.checkpoints = CheckpointWriter(folder, run, environment.execution.checkpoint_seconds)
        recipe = with_epochs(run.recipe, self.method, len(self.batches.rows["train"]), self.processes.world)
        self.phases = phase_plans(self.method, recipe)
        self.epochs = sum(phase.epochs for phase in self.phases)
        self.state = TrainingState(begun=begun_with(self.engine))
        self.tensorboard = TensorBoardLog(None)
        self.mark = time.monotonic()

    @property
    def method(self) -> Method:
        """The method that is trained."""
        return self.engine.method

    def train(self) -> TrainingResult:
        """Trains and evaluates. Raises `Diverged`, `UserError`, or whatever method and device raise."""
        execution = self.environment.execution
        exact = numerics(self.run.precision, execution.deterministic)
        with closing(self.batches), threads_restored(), exact, self.checkpoints:
            while (ending := self._attempt()) is None:
                pass
            self.state.checkpoint_seconds += self.checkpoints.finish()
            return self._result(*ending)

    def _result(
        self, finished_by_method: bool, branches: dict[str, float], readouts: dict[str, ReadOut]
    ) -> TrainingResult:
        for remark in self.engine.compiled.remarks if self.engine.compiled else []:
            self._note(remark)
        self.tensorboard.close()
        seconds = sum(row["seconds"] for row in self.state.history)
        return TrainingResult(
            method=self.method,
            state=self.state,
            test_rows=self.batches.rows["test"],
            weights=self.engine.weights,
            training_seconds=seconds,
            images_per_s=self.state.total_images / seconds,
            peak_memory=self._peak_memory(),
            resident_bytes=self.batches.resident_bytes,
            counts={name: len(rows) for name, rows in self.batches.rows.items()},
            micro_batch=self.engine.largest_micro_batch,
            processes=self.processes.world,
            threads=self.state.begun["threads"],
            compile_seconds=self.engine.compile_seconds if self.engine.compiled else None,
            finished_by_method=finished_by_method,
            branches=branches,
            readouts=readouts,
        )

    def _peak_memory(self) -> int | None:
        """Of the last attempt, in bytes of the GPU, without the images that this process keeps there."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device) - self.batches.store_bytes

    def _attempt(self) -> tuple[bool, dict[str, float], dict[str, ReadOut]] | None:
        """Trains to the end from the last checkpoint or the beginning; None if memory ran out and room was made.

        Otherwise returns whether the method changed itself after the last epoch, the accuracies of its branches, and
        its read-outs.
        """
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # a failed attempt is not part of the result
        try:
            saved = self._resume()
            remaining = self._remaining_phases()
            if note := self.engine.warm_up(remaining, self.batches, self.state.epoch):
                self._note(note)
            if saved is None:
                self._initialise_method()
            if not self.phases:
                self._fit_frozen()
                return False, {}, {}
            for phase in remaining:
                self._train_phase(phase, saved)
                saved = None
            return self._finish_method(), *self.scorer.beside_forward(self.state)
        except Exception as error:
            # With several processes, the others wait for a sum that never comes: torchrun has to end them.
            if not self.phases or self.processes.world > 1 or not gpu_ran_out_of_memory(error, self.device):
                raise
            learning = not isinstance(error, OutOfMemoryWithoutGradients)
        # Only here are the tensors free that the error kept alive.
        if learning:
            self.room.for_training(max(phase.batch_size for phase in self.phases))
        else:
            self.room.for_method(trained=self.state.epoch == self.epochs)
        return None

    def _remaining_phases(self) -> list[PhasePlan]:
        """The phases that have not ended."""
        return [phase for phase in self.phases if self.state.epoch < phase.first + phase.epochs]

    def _initialise_method(self) -> None:
        self.method.eval()
        with torch.no_grad(), nothing_learns(self.device):
            self.method.initialise(self.batches.unaugmented(self.engine.evaluation_batch))
        self.processes.broadcast(self.method.state_dict().values())

    def _fit_frozen(self) -> None:
        """All that there is to a Run whose method has no phases."""
        fit = FrozenFit(self.run, self.engine, self.batches, self.room, self.listener)
        if note := fit.carry_out(self.state):
            self.state.notes.append(note)

    def _finish_method(self) -> bool:
        """The method's own last step; returns whether there is one."""
        self.method.eval()
        with torch.no_grad(), nothing_learns(self.device), autocast(self.device, self.run.precision):
            finished = self.method.finish(self.batches.unaugmented(self.engine.evaluation_batch))
        if finished:
            self.processes.broadcast(self.method.state_dict().values())
            self.scorer.finished(self.state)
        return finished

    def _train_phase(self, phase: PhasePlan, saved: dict[str, Any] | None) -> None:
        state, first = self.state, phase.first
        if len(self.phases) > 1:
            self.listener.phase(phase.name, first, phase.epochs)
        self.method.zero_grad(set_to_none=True)  # gradients of an earlier phase would count in gradient clipping
        optimizer = build_optimizer(self.method, phase, self.recipe)
        base = [group["lr"] for group in optimizer.param_groups]
        if saved is not None and (state.epoch, state.batch) > (first, 0):
            self._restore_optimizer(optimizer, saved)
        feed = self.batches.training_feed(phase.batch_size, self.method.sampling)
        while state.epoch < first + phase.epochs:
            row = self._train_epoch(phase, optimizer, base, feed)
            epoch = state.epoch + 1
            if epoch % self.recipe.evaluate_every == 0 or epoch == self.epochs:
                row |= self.scorer.epoch(state)
            due = self._check_losses() or epoch == self.epochs  # what follows the last epoch may take long
            state.end_epoch(row)
            self.tensorboard.add("epoch", row, state.total_images)
            if due:
                self._save(optimizer)
            self.listener.epoch(row, self.epochs)

    def _train_epoch(
        self, phase: PhasePlan, optimizer: torch.optim.Optimizer, base: list[float], feed: Feed
    ) -> dict[str, Any]:
        """Trains the current epoch to its end; returns its row of the history."""
        state = self.state
        select_trainable(self.method, phase, state.epoch)
        if state.batch == 0:  # every epoch has its own stream of random numbers
            seed_epoch(self.run.seed, state.epoch, self.processes.rank)
        self._elapsed()
        batches = phase.batches(state.epoch, len(feed))
        for batch in self.batches.training(feed, state.epoch, state.batch, batches):
            factor = self._lr_factor(phase, batch.number, len(feed))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            self.method.before_batch(state.epoch, (state.epoch + batch.number / len(feed)) / phase.whole(len(feed)))
            for losses in self.engine.steps(phase, batch, optimizer):
                state.losses.add(batch.number, losses)
            state.batch, state.images = batch.number + 1, state.images + batch.total
            self.listener.trained(batch.total)
            self._check_loss_and_save(optimizer, batches)
        self._check_losses()
        means = state.losses.means(self.processes, batches)
        state.epoch_seconds += self._elapsed()
        factor = self._lr_factor(phase, batches - 1, len(feed))
        return {
            "epoch": state.epoch + 1,
            "phase": phase.name,
            "loss": sum(means.values()),
            **{f"loss.{name}": value for name, value in means.items()},
            "lr": phase.optimizer.lr * factor,
            "images": state.images,
            "seconds": state.epoch_seconds,
            "images_per_s": state.images / state.epoch_seconds,
        }

    def _lr_factor(self, phase: PhasePlan, number: int, of_epoch: int) -> float:
        """Factor on the phase's learning rates in batch `number` of the current epoch, which has `of_epoch`."""
        epoch = self.state.epoch - phase.first + phase.before
        return lr_factor(phase.schedule, phase.of_schedule(of_epoch), epoch + number / of_epoch)

    def _check_loss_and_save(self, optimizer: torch.optim.Optimizer, batches: int) -> None:
        """After a batch: stops a diverged training, and saves when it is time. On a GPU, rarely: the host waits."""
        state, regular = self.state, self.state.batch % CHECK_EVERY == 0
        if self.device.type == "cuda" and not regular:
            return
        due = self._check_losses()
        if regular and self.tensorboard.enabled:
            terms = {name: value.item() for name, value in state.losses.latest.items()}
            self.tensorboard.add("batch", terms | {"lr": optimizer.param_groups[0]["lr"]}, state.total_images)
        if due and state.batch < batches:  # the last batch is saved with the epoch's results
            state.epoch_seconds += self._elapsed()
            self._save(optimizer)

    def _check_losses(self) -> bool:
        """Returns whether a checkpoint is due, in all processes alike. Waits for the device. Raises `Diverged`."""
        return self.state.losses.check(self.processes, self.checkpoints.due, self.run.seed, self.state.epoch)

    def _resume(self) -> dict[str, Any] | None:
        """Restores the last checkpoint and returns its content, of which the optimiser is restored later; else None."""
        notes = self.state.notes
        self.checkpoints.finish()
        self.state = TrainingState(notes=notes, begun=begun_with(self.engine))
        saved, found = checkpoint.load(self.folder, self.run, self.environment.execution.micro_batch)
        for note in found:
            self._note(note)
        if saved is not None:
            try:
                self.state, kept = restore(saved, self.engine)
            except (RuntimeError, LookupError, TypeError, ValueError):
                self._note("the checkpoint is of other code")
                self.state.begun = begun_with(self.engine)  # its number of threads may have been taken over
                self.engine.build()  # some weights may have been loaded
                saved = None
        if saved is not None:
            self.state.notes += [note for note in notes if note not in self.state.notes]
            batches = f" and {self.state.batch} batches" if self.state.batch else ""
            self.listener.note(f"resumes after epoch {self.state.epoch}{batches} of {self.epochs}")
            for line in kept:
                self.listener.note(line)
        elif notes:
            self.listener.note("training starts again from the beginning")
        self.tensorboard.close()
        enabled = self.environment.execution.tensorboard and self.processes.first
        folder = make_folder(self.folder, "tensorboard", "--results") if enabled else None
        self.tensorboard = TensorBoardLog(folder, self.state.total_images)
        return saved

    def _restore_optimizer(self, optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
        """Raises `UserError` if the method now groups its parameters in another way."""
        try:
            optimizer.load_state_dict(saved["optimizer"])
        except ValueError as error:
            path = self.folder / CHECKPOINT
            raise UserError(f"{path} is of other code ({error}); move the checkpoints away to train anew") from error

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self._elapsed()
        captured = capture(self.engine, self.state, optimizer)
        if self.processes.first:
            self.state.checkpoint_seconds += self.checkpoints.save(captured, self.device)
        self._elapsed()

    def _elapsed(self) -> float:
        """Seconds since the last call; adds them to the whole training's time."""
        now = time.monotonic()
        passed, self.mark = now - self.mark, now
        self.state.seconds += passed
        return passed

    def _note(self, text: str) -> None:
        """Reports to the listener, and to the reader of the result, who needs to know it once."""
        if text not in self.state.notes:
            self.state.notes.append(text)
        self.listener.note(text)
