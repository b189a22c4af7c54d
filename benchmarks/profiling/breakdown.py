"""Where the time of a step goes: backbone, the method's own modules, losses, backward pass, optimiser.

Hooks recognise modules, and loss functions are recognised by their name in torch. Each transition from one part to
another is marked. On a GPU the marks are events in its queue: nothing waits, and kernels count for the part that
launched them. If a part calls another one, the time counts for the inner part. torch.profiler records every operation
instead, which slows the step down, and it knows no parts.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from benchmarks.profiling.counting import backbones
from methods.interface import Gather, Method, alone

BACKBONE, LOSSES, OTHER, BACKWARD, OPTIMIZER = (
    "backbone",
    "loss functions",
    "method, outside its modules",
    "backward",
    "optimizer",
)
OWN = "method's "
"""Prefix of the name of each of its own modules."""
STEPS = 7
"""Steps that are measured, after one for warm-up; each part's median is reported."""

LOSS_FUNCTIONS = frozenset(
    getattr(F, name)
    for name in dir(F)
    if name.endswith(("_loss", "cross_entropy", "cross_entropy_with_logits", "kl_div"))
)


class Marks:
    """The moments at which a step changes from one part to another."""

    def __init__(self, device: torch.device, outside: str) -> None:
        self.device = device
        self.stack = [outside]
        self.moments: list[tuple[str, Any]] = []

    def begin(self) -> None:
        """Starts a new step."""
        self.moments = [("", self._now())]

    def enter(self, part: str) -> None:
        """`part` begins; it ends with `leave`."""
        self.moments.append((self.stack[-1], self._now()))
        self.stack.append(part)

    def leave(self, *_: object) -> None:
        """Returns to the part before."""
        self.moments.append((self.stack.pop(), self._now()))

    def end(self) -> dict[str, float]:
        """Milliseconds of each part since `begin`. Waits for the device."""
        self.moments.append((self.stack[-1], self._now()))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        parts: dict[str, float] = defaultdict(float)
        for (_, start), (part, stop) in zip(self.moments, self.moments[1:], strict=False):
            parts[part] += start.elapsed_time(stop) if self.device.type == "cuda" else 1000 * (stop - start)
        return parts

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Within, time counts for `part`."""
        self.enter(part)
        try:
            yield
        finally:
            self.leave()


class _LossFunctions(TorchFunctionMode):
    """Marks torch's own loss functions."""

    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self.marks = marks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in LOSS_FUNCTIONS:
            return func(*args, **(kwargs or {}))
        with self.marks.within(LOSSES):
            return func(*args, **(kwargs or {}))


def of_inference(method: Method, forward: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Milliseconds of each part of a forward pass (median over steps); the method must not be compiled."""
    marks = Marks(device, OTHER)
    with marked_modules(method, marks):
        return _medians(marks, forward)


def of_training(
    method: Method, optimizer: torch.optim.Optimizer, step: Callable[[], object], device: torch.device
) -> dict[str, float]:
    """The same for a training step. Time outside all other parts counts for the backward pass."""
    marks = Marks(device, BACKWARD)
    with marked_modules(method, marks), _marked_training(method, optimizer, marks):
        return _medians(marks, step)


def _medians(marks: Marks, step: Callable[[], object]) -> dict[str, float]:
    step()
    steps = []
    for _ in range(STEPS):
        marks.begin()
        step()
        steps.append(marks.end())
    parts = dict.fromkeys(part for one in steps for part in one)
    return {part: median(one.get(part, 0.0) for one in steps) for part in parts}


@contextlib.contextmanager
def marked_modules(method: Method, marks: Marks) -> Iterator[None]:
    """Within, backbones and the method's own modules mark their beginning and end."""
    parts = [(BACKBONE, module) for module in backbones(method)]
    parts += [(OWN + name, module) for name, module in own_modules(method)]
    hooks = []
    for part, module in parts:
        hooks.append(module.register_forward_pre_hook(lambda *_, part=part: marks.enter(part)))
        hooks.append(module.register_forward_hook(marks.leave))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def own_modules(method: nn.Module, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Name and module of each part of the method that is not a backbone; of a list of modules, each one."""
    for name, module in method.named_children():
        if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            yield from own_modules(module, f"{before}{name}.")
        elif not getattr(module, "is_backbone", False):
            yield before + name, module


@contextlib.contextmanager
def _marked_training(method: Method, optimizer: torch.optim.Optimizer, marks: Marks) -> Iterator[None]:
    """Within, the method's steps, its loss functions and the optimiser mark their beginning and end."""
    before_batch, steps, after_step = method.before_batch, method.steps, method.after_step

    def marked_before_batch(epoch: int, over: float) -> None:
        with marks.within(OTHER):
            before_batch(epoch, over)

    def marked_steps(images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        generator = steps(images, labels)
        while True:
            with marks.within(OTHER), _LossFunctions(marks):
                losses = next(generator, None)
            if losses is None:
                return
            yield losses

    def marked_after_step(gather: Gather = alone) -> None:
        with marks.within(OTHER):
            after_step(gather)

    hooks = [
        optimizer.register_step_pre_hook(lambda *_: marks.enter(OPTIMIZER)),
        optimizer.register_step_post_hook(marks.leave),
    ]
    own = {"before_batch": marked_before_batch, "steps": marked_steps, "after_step": marked_after_step}
    for name, function in own.items():
        setattr(method, name, function)
    try:
        yield
    finally:
        for name in own:
            delattr(method, name)
        for hook in hooks:
            hook.remove()
