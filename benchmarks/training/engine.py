"""A method on its device: makes the steps of batches, and logits; compiled, and in pieces that fit into memory."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.phases import PhasePlan
from benchmarks.training.batches import Batches, TrainingBatch
from benchmarks.training.build_method import build_method
from benchmarks.training.compile import CompiledMethod
from benchmarks.training.distributed import Processes
from benchmarks.training.evaluate import logits_of
from benchmarks.training.listener import Listener, Silent
from benchmarks.training.numerics import random_state, set_random_state
from benchmarks.training.optim import select_trainable, take_steps
from datasets.loading.feed import Feed
from methods.interface import Method
from results.settings import Run

EVALUATION_BATCH = 64
"""Images per forward pass of an evaluation: has no influence on the result, only on speed and memory."""
WITHOUT_GRADIENTS = 4
"""How many times the images of a backward pass are taken for one that keeps no gradients: a guess on the safe side."""


class Engine:
    """Computes for a training, of which it keeps nothing but the method."""

    def __init__(self, run: Run, environment: Environment, classes: int, processes: Processes) -> None:
        self.run, self.environment, self.classes, self.processes = run, environment, classes, processes
        self.device, self.execution = processes.device, environment.execution
        wanted = self.execution.micro_batch
        self.limit = wanted if isinstance(wanted, int) else None
        """Images of a backward pass that memory allows, as far as is known."""
        self.micro_batch = 0
        """Images of the largest backward pass so far."""
        self.compile_seconds = 0.0
        self.build()

    def build(self) -> None:
        """Makes the method with its initial weights, in place of the one before."""
        torch.manual_seed(self.run.seed)
        self.method, self.weights = build_method(self.run, self.classes, self.environment.weights_root, self.device)
        if self.run.recipe.sync_batchnorm:
            self.processes.synchronise_norms(self.method)
        self.compiled = CompiledMethod(self.method) if self.execution.compile else None

    def steps(
        self, phase: PhasePlan, batch: TrainingBatch, optimizer: torch.optim.Optimizer | None
    ) -> Iterator[dict[str, Tensor]]:
        """The optimiser steps of a batch, cut into micro-batches as recipe and memory want; the losses of each.

        The losses are this process's part of the whole. Without an optimiser everything is done but the steps.
        """
        share = -(-phase.batch_size // self.processes.world)
        size = min(-(-share // self.run.recipe.accumulate), self.limit or share)
        pieces = number_of_pieces(len(batch.images), size)
        self.micro_batch = max(self.micro_batch, -(-len(batch.images) // pieces))
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
        )

    @property
    def evaluation_batch(self) -> int:
        """Images of a forward pass without gradients."""
        return EVALUATION_BATCH if self.limit is None else min(EVALUATION_BATCH, WITHOUT_GRADIENTS * self.limit)

    def logits(self, feed: Feed, listener: Listener) -> Tensor:
        """Logits `(N, K)` float32 of the feed's images, on the host."""
        forward = self.compiled.forward if self.compiled else None
        return logits_of(self.method, feed, self.run.recipe.image_size, self.run.precision, listener, forward)

    def rehearse(self, phases: Sequence[PhasePlan], batches: Batches, epoch: int) -> str | None:
        """Makes a step and some logits in each phase, and undoes it all; says what could not be compiled.

        So what is to be compiled is compiled outside of all timing, and what does not fit into memory is known early.
        """
        if not phases or (not self.compiled and self.execution.micro_batch != "auto"):
            return None
        began = time.monotonic()
        learning = self.compiled.learning() if self.compiled else contextlib.nullcontext()
        start = self.processes.share(len(batches.rows["test"])).start
        rows = slice(start, start + self.evaluation_batch)
        with undone(self.method, self.device), learning:
            for phase in phases:
                select_trainable(self.method, phase)
                feed = batches.training_feed(phase.batch_size, self.method.sampling)
                with closing(batches.training(feed, epoch)) as prepared:
                    for _ in self.steps(phase, next(prepared), None):
                        pass
                self.logits(batches.evaluation_feed("test", self.evaluation_batch, rows), Silent())
        if not self.compiled:
            return None
        self.compile_seconds += time.monotonic() - began
        past = not self.compiled.losses.shapes
        return f"{self.run.method} does not step through `losses`: its training is not compiled" if past else None

    def halve(self, batch_size: int) -> str:
        """After memory ran out: a new method, and half as many images at a time. Says so.

        `batch_size`: images of the largest batch, where memory ran out before any step, as in `initialise`. Raises
        `UserError` where it was one image.
        """
        had = self.micro_batch or self.limit or batch_size
        if had == 1:
            raise UserError("one image at a time is too much for the GPU; choose a smaller image_size or backbone")
        self.limit, self.micro_batch = had // 2, 0
        self.build()
        gc.collect()  # the compiled functions of the method before and their method know each other
        torch.cuda.empty_cache()
        return f"out of memory with {had} images at a time; goes on with {self.limit}"


def number_of_pieces(images: int, micro_batch: int) -> int:
    """Into how many pieces so many images are cut, each of `micro_batch` at the most.

    None is of one image alone unless that is asked for, as batch norm can't learn from one; so one may have 3 for 2.
    """
    count = -(-images // micro_batch)
    return count if micro_batch == 1 else max(1, min(count, images // 2))


@contextlib.contextmanager
def undone(method: Method, device: torch.device) -> Iterator[None]:
    """Puts buffers, gradients and random generators back when left; parameters must not be changed within."""
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
