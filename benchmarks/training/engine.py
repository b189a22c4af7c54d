"""A method on its device: takes the steps of batches and computes logits; compiled, and in pieces that fit memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.phases import PhasePlan
from benchmarks.training import evaluate
from benchmarks.training.batches import Batches, TrainingBatch
from benchmarks.training.compiling.compile import CompiledMethod, not_compiled
from benchmarks.training.device import nothing_learns, random_state, set_random_state
from benchmarks.training.distributed import Processes
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.networks.build_method import build_method
from benchmarks.training.optim import select_trainable, take_steps
from datasets.loading.feed import Feed
from methods.interface import Method
from results.augmentation import InputScaling
from results.recipe import Recipe
from results.settings import Run

EVALUATION_BATCH = 64
"""Images per forward pass of an evaluation: affects speed and memory, not the result."""
NO_GRAD_FACTOR = 4
"""Images that fit without gradients, for each one that fits with them: a cautious guess."""

TOO_MUCH = "too much for the GPU; choose a smaller image_size or backbone"
TOO_LARGE = f"one image at a time is {TOO_MUCH}"


class Engine:
    """Computes for a training. Its only state is the method, and how many images fit into memory.

    After a lack of memory, that number is halved. It does not search for the largest number as `profiling.max_batch`
    does, with a fresh process for each try: a training must keep its process and progress.
    """

    def __init__(self, run: Run, environment: Environment, classes: int, processes: Processes) -> None:
        self.run, self.environment, self.classes, self.processes = run, environment, classes, processes
        self.device, self.execution = processes.device, environment.execution
        wanted = self.execution.micro_batch
        self.micro_batch_limit = wanted if isinstance(wanted, int) else None
        """Images of a backward pass that fit into memory, if known."""
        self.largest_micro_batch = 0
        """Images of the largest backward pass so far."""
        self.evaluation_limit = EVALUATION_BATCH
        """Images of a forward pass without gradients that fit into memory, as far as is known."""
        self.compile_seconds = 0.0
        self.build()

    def build(self) -> None:
        """Builds the method with its initial weights, in place of the previous one."""
        torch.manual_seed(self.run.seed)
        self.method, self.weights = build_method(
            self.run,
            self.classes,
            self.environment.weights_root,
            self.device,
            checkpointing=self.execution.checkpointing,
        )
        if self.run.recipe.sync_batchnorm:
            self.processes.synchronise_norms(self.method)
        compile = self.execution.compile and bool(self.method.phases())  # one pass would not pay for it
        self.compiled = CompiledMethod(self.method, self.execution.compile_mode) if compile else None

    @property
    def about_input(self) -> list[str]:
        """What a user should know of the weights and the network's input before the training, in sentences."""
        taken = [f"{row['file']}: its weights are those of {row['taken']}" for row in self.weights if "taken" in row]
        scaling = self.run.scaling
        return [*taken, *([f"images are normalised with {scaling}"] if scaling != InputScaling() else [])]

    def steps(
        self, phase: PhasePlan, batch: TrainingBatch, optimizer: torch.optim.Optimizer | None
    ) -> Iterator[dict[str, Tensor]]:
        """Takes the optimiser steps of a batch, cut into micro-batches as recipe and memory require.

        Yields the losses of each step: this process's part of the batch's. Without an optimiser, everything but the
        optimiser's own step is done.
        """
        share = -(-phase.batch_size // self.processes.world)
        together = self.method.sampling.together
        size = -(-share // (together * self.run.recipe.accumulate)) * together
        pieces = pieces_of(len(batch.images), min(size, self.micro_batch_limit or size), together)
        self.largest_micro_batch = max(self.largest_micro_batch, *pieces)
        return take_steps(
            self.method,
            batch.images,
            batch.labels,
            optimizer,
            self.run.precision,
            self.run.recipe.clip_norm,
            pieces=pieces,
            share=batch.share,
            exchange=self.processes.sum_gradients,
            gather=self.processes.gather_of_batch(batch.total, together),
        )

    @property
    def evaluation_batch(self) -> int:
        """Images of a forward pass without gradients."""
        if self.micro_batch_limit is None:
            return self.evaluation_limit
        return min(self.evaluation_limit, NO_GRAD_FACTOR * self.micro_batch_limit)

    def logits(self, feed: Feed, listener: Listener) -> Tensor:
        """Logits `(N, K)` float32 of the feed's images, on the host. Raises `OutOfMemoryWithoutGradients`."""
        forward = self.compiled.forward.in_batches_of(feed.batch_size) if self.compiled else None
        with nothing_learns(self.device):
            return evaluate.logits_of(self.method, feed, self.run, listener, forward)

    def logits_of_split(self, batches: Batches, split: str, listener: Listener) -> Tensor:
        """Logits `(N, K)` float32 of a whole split, on the host; each process computes a share of them."""
        self.processes.broadcast(self.method.buffers())  # each has running statistics of its own share
        images = len(batches.rows[split])
        rows = self.processes.share(images)
        found = None
        if rows.stop > rows.start:
            found = self.logits(batches.evaluation_feed(split, self.evaluation_batch, rows), listener)
        return self._of_all_processes(found, rows, images, "forward")

    def beside_forward(self, batches: Batches, split: str) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Of a split, by name: top-1 of each of the method's branches alone, and logits `(N, K)` float32 of each of its
        read-outs, on the host; each process computes a share of them.

        Raises `OutOfMemoryWithoutGradients`.
        """
        images = len(batches.rows[split])
        rows = self.processes.share(images)
        found = evaluate.Beside({}, {})
        if rows.stop > rows.start:
            feed = batches.evaluation_feed(split, self.evaluation_batch, rows)
            with nothing_learns(self.device):
                found = evaluate.beside_forward(self.method, feed, self.run)
        parts = self.processes.gather(found.hits)
        names = dict.fromkeys(name for part in parts for name in part)
        branches = {name: sum(part.get(name, 0) for part in parts) / images for name in names}
        return branches, {
            name: self._of_all_processes(found.readouts.get(name), rows, images, f"read-out {name!r}")
            for name in self.method.readout_views
        }

    def _of_all_processes(self, own: Tensor | None, rows: slice, images: int, what: str) -> Tensor:
        """Logits of so many images, of which this process computed `rows`; None if they are none."""
        logits = torch.zeros(images, self.classes)
        if own is not None:
            logits[rows] = evaluate.checked(own, rows.stop - rows.start, self.classes, what)
        return self.processes.sum(logits.to(self.device)).cpu() if self.processes.world > 1 else logits

    def warm_up(self, phases: Sequence[PhasePlan], batches: Batches, epoch: int) -> str | None:
        """Takes a step of each kind and computes some logits in each phase, and reverts all effects.

        So compilation is outside of all timing, and a batch that does not fit into memory is noticed early. Returns
        what was not compiled. `phases`: those that have not ended; `epoch`: the current one.
        """
        if not phases or (not self.compiled and self.execution.micro_batch != "auto"):
            return None
        began = time.monotonic()
        learning = self.compiled.learning() if self.compiled else contextlib.nullcontext()
        start = self.processes.share(len(batches.rows["test"])).start
        rows = slice(start, start + self.evaluation_batch)
        with restored_afterwards(self.method, self.device), learning:
            for phase in phases:
                feed = batches.training_feed(phase.batch_size, self.method.sampling)
                for one in epochs_of_each_kind(phase, max(phase.first, epoch), self.run.recipe):
                    select_trainable(self.method, phase, one)
                    with closing(batches.training(feed, one)) as prepared:
                        batch = next(prepared)
                    self.method.before_batch(one, one / phase.total)
                    for _ in range(self.compiled.rounds if self.compiled else 1):
                        for _ in self.steps(phase, batch, None):
                            pass
                    for _ in range(self.compiled.rounds if self.compiled else 1):
                        self.logits(batches.evaluation_feed("test", self.evaluation_batch, rows), Silent())
        if not self.compiled:
            return None
        self.compile_seconds += time.monotonic() - began
        if self.compiled.trains:
            return None
        return f"{self.run.method} {not_compiled(self.method)}: its training is not compiled"

    def halve_micro_batch(self, batch_size: int) -> str:
        """After a lack of memory, in training: half as many images at a time, rounded down to those that stay together.
        Returns a note.

        `batch_size`: images of the largest batch, which count if memory ran out before any step.
        Raises `UserError` if it ran out with a single image, or with images that the method never parts.
        """
        failed = self.largest_micro_batch or self.micro_batch_limit or batch_size
        if failed <= (together := self.method.sampling.together):
            raise UserError(TOO_LARGE if together == 1 else f"{together} images, which belong together, are {TOO_MUCH}")
        self.micro_batch_limit, self.largest_micro_batch = max(failed // 2 // together, 1) * together, 0
        return f"out of memory with {failed} images at a time; continues with {self.micro_batch_limit}"

    def halve_evaluation_batch(self) -> str:
        """After a lack of memory where nothing learns: half as many images at a time there. Returns a note."""
        failed, self.evaluation_limit = self.evaluation_batch, self.evaluation_batch // 2
        return f"out of memory with {failed} images at a time in an evaluation; continues with {self.evaluation_limit}"


def epochs_of_each_kind(phase: PhasePlan, start: int, recipe: Recipe) -> list[int]:
    """Epochs of a phase, from `start` on, that have every form of labels between them, `(B,)`, or `(B, K)` while images
    are mixed; and every set of groups that learn."""
    mixing, end = recipe.augment.mixing, phase.first + phase.epochs
    unmixed = [mixing.epochs] if mixing.active and mixing.epochs is not None else []
    return sorted({start, *(epoch for epoch in (*unmixed, *phase.thaws) if start < epoch < end)})


def pieces_of(images: int, micro_batch: int, together: int = 1) -> list[int]:
    """Sizes of the pieces, of at most `micro_batch` images if they can be, into which a batch is cut.

    They are as equal as they can be without parting `together` images: those of a class, or a pair. Batch norm can't
    learn from one image, so no piece has just one, unless `micro_batch` is 1; a piece may have 3 instead of 2 for that.
    What is left over of a batch that is no multiple of `together` goes to the last.
    """
    units = max(images // together, 1)
    count = -(-units // max(micro_batch // together, 1))
    if together == 1 and micro_batch > 1:
        count = max(1, min(count, images // 2))
    each, larger = divmod(units, count)
    sizes = [together * (each + (number < larger)) for number in range(count)]
    return [*sizes[:-1], images - sum(sizes[:-1])]


@contextlib.contextmanager
def restored_afterwards(method: Method, device: torch.device) -> Iterator[None]:
    """Restores buffers, gradients and random generators at the end; parameters must not change within."""
    before = [(buffer, buffer.clone()) for buffer in method.buffers()]
    state = random_state(device)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
        method.zero_grad(set_to_none=True)
        set_random_state(state, device)
