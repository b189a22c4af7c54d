"""What is profiled: one method on one backbone, a random batch, and a step of it in each mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.training.compiling.compile import CompiledMethod
from benchmarks.training.networks.build_method import autocast, build_method
from benchmarks.training.optim import take_steps
from results.settings import ProfileRun
from results.speed import Mode

LR = 1e-6
"""So low that the weights stay practically the same, however many steps are taken."""
HALFWAY = 50
"""Epoch of the measured steps, in a training of twice as many: what only begins or ends one is not measured."""


class NoStepError(Exception):
    """The method takes no training step: what it learns, it fits to frozen features."""


class ProfiledMethod:
    """A method with random weights on its device, and a batch of random images with labels.

    Raises what building the method raises, and the device's error if memory is too small.
    """

    def __init__(self, run: ProfileRun) -> None:
        self.run, self.device = run, torch.device(run.device)
        torch.manual_seed(0)
        self.method, _ = build_method(run, run.classes, None, self.device, checkpointing=run.checkpointing)
        images = torch.randn(run.batch_size, 3, run.image_size, run.image_size, device=self.device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        # Equal labels stand together, as a method that needs pairs samples them.
        repeat = self.method.sampling.images_per_class or 1
        self.labels = (torch.arange(run.batch_size) // repeat % run.classes).to(self.device)
        self.optimizer = self._optimizer()
        self.compiled: CompiledMethod | None = None

    def _optimizer(self) -> torch.optim.Optimizer:
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.run.optimizer]
        momentum = {"momentum": 0.9} if self.run.optimizer == "sgd" else {}
        return kind(self.method.parameters(), lr=LR, fused=self.images.is_cuda, **momentum)

    def compile(self) -> None:
        """Compiles both modes with torch.compile from now on. Raises `UserError` without a compiler."""
        self.compiled = CompiledMethod(self.method, self.run.compile_mode)

    def learning(self) -> contextlib.AbstractContextManager[None]:
        """Within, each new shape of images is compiled; other shapes run uncompiled."""
        return self.compiled.learning() if self.compiled else contextlib.nullcontext()

    @property
    def rounds(self) -> int:
        """Steps that it takes to compile for a shape."""
        return self.compiled.rounds if self.compiled else 1

    def is_compiled(self, mode: Mode) -> bool:
        """Whether anything of this mode was compiled."""
        if self.compiled is None:
            return False
        return self.compiled.trains if mode == "train" else bool(self.compiled.forward.known)

    def enter(self, mode: Mode) -> None:
        """Switches the method to a mode."""
        self.method.train(mode == "train")

    def step(self, mode: Mode) -> Callable[[], None]:
        """One step on the random batch: compute only. Raises `NoStepError` where there is none of this mode."""
        if mode == "train" and not self.method.phases():
            raise NoStepError
        self.enter(mode)
        return partial(self.train, self.images, self.labels) if mode == "train" else partial(self.infer, self.images)

    def infer(self, images: Tensor) -> None:
        """Computes the logits of a batch `(B, 3, H, W)`."""
        forward = self.compiled.forward if self.compiled else self.method
        with torch.inference_mode(), autocast(self.device, self.run.precision):
            forward(images)

    def train(self, images: Tensor, labels: Tensor) -> None:
        """Takes all optimiser steps of a batch."""
        for _ in self.training_steps(images, labels):
            pass

    def training_steps(self, images: Tensor, labels: Tensor) -> Iterator[object]:
        """The optimiser steps of a batch, one by one, as in a training."""
        self.method.before_batch(HALFWAY, 0.5)
        return take_steps(self.method, images, labels, self.optimizer, self.run.precision)
