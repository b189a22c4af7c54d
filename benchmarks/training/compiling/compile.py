"""A method's losses and forward pass through torch.compile."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.errors import UserError
from benchmarks.training.compiling import kept_code
from methods.interface import Method
from results.settings import CompileMode

BACKEND = "inductor"
"""The compiler. It keeps its code on disk, for the next seed in this or another process (`kept_code`)."""
ROUNDS_OF_A_GRAPH = 3
"""Calls after which a CUDA graph is replayed: one runs the kernels, one records them, one replays the recording."""

Shapes = tuple[torch.Size, ...]


class Compiled:
    """A function of tensors, compiled for the shapes it met while it was `learning`.

    Other shapes run uncompiled. An epoch's smaller last batch does: compiling for it takes as long as for the others,
    15 to 25 s for ResNet-50, and would save some 10 ms of an epoch of CUB (42 of 5 994 images; estimated from an H200's
    rates). Batch norm forbids to fill it up.
    """

    def __init__(self, function: Callable[..., Any], mode: CompileMode) -> None:
        self.function, self.mode = function, mode
        self.compiled = torch.compile(function, backend=BACKEND, mode=mode, dynamic=False)
        self.shapes: set[Shapes] = set()
        self.unknown: Counter[Shapes] = Counter()
        """Calls that ran uncompiled, by their shapes."""
        self.learning = False

    def __call__(self, *tensors: Tensor) -> Any:
        shapes = tuple(tensor.shape for tensor in tensors)
        if self.learning:
            self.shapes.add(shapes)
        elif shapes not in self.shapes:
            self.unknown[shapes] += 1
        return (self.compiled if shapes in self.shapes else self.function)(*tensors)

    def begin_step(self) -> None:
        """To be called before a step: what compiled functions returned in earlier ones is used no more.

        A CUDA graph writes its outputs to the same memory each time. Within a step, torch keeps all of them apart.
        """
        if self.mode != "default":  # torch would load its compiler to be told, which takes seconds
            torch.compiler.cudagraph_mark_step_begin()

    @property
    def surprises(self) -> Counter[Shapes]:
        """The unknown shapes that are not those of a smaller last batch."""
        return Counter({shapes: calls for shapes, calls in self.unknown.items() if not self._is_smaller(shapes)})

    def _is_smaller(self, shapes: Shapes) -> bool:
        """Whether some known shapes differ from these in nothing but more images."""
        without = [shape[1:] for shape in shapes]
        return any([one[1:] for one in known] == without and known[0][0] > shapes[0][0] for known in self.shapes)


class CompiledForward(Compiled):
    """A forward pass from images to logits. Each call is a step, and the logits are the caller's to keep."""

    def __call__(self, *tensors: Tensor) -> Any:
        self.begin_step()
        return super().__call__(*tensors).clone()

    def in_batches_of(self, size: int) -> Callable[[Tensor], Tensor]:
        """The same for at most `size` images `(B, 3, H, W)`, so that one graph serves them all.

        Fewer are filled up with copies of the last one, whose logits are left out. An image's logits do not depend on
        the others of its batch. Where the forward pass is compiled at all, it is for this size, too: a lack of memory
        may have made it smaller since the warm-up.
        """

        def forward(images: Tensor) -> Tensor:
            lacking, whole = size - len(images), torch.Size((size, *images.shape[1:]))
            if self.shapes:
                self.shapes.add((whole,))
            if lacking <= 0 or not (self.learning or (whole,) in self.shapes):
                return self(images)
            filled = torch.cat([images, images[-1:].expand(lacking, -1, -1, -1)])
            return self(filled.contiguous(memory_format=torch.channels_last))[: len(images)]

        return forward


class CompiledMethod:
    """Replaces the `losses` of a method by a compiled function, and compiles its forward pass as `forward`.

    A method whose steps do not call `losses` trains uncompiled. Raises `UserError` if there is no C++ compiler.
    """

    def __init__(self, method: Method, mode: CompileMode = "default") -> None:
        check_compiler()
        kept_code.use_folder()
        torch.compiler.reset()  # functions of earlier Runs in this process count against torch's limit
        self.losses, self.forward = Compiled(method.losses, mode), CompiledForward(method.forward, mode)
        method.losses = self.losses  # type: ignore[method-assign, assignment]
        self.left_out_before = graphs_left_out()
        self.rounds = 1 if mode == "default" else ROUNDS_OF_A_GRAPH
        """Calls that it takes to learn a shape."""

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Within, each new shape is compiled."""
        for function in (self.losses, self.forward):
            function.learning = True
        try:
            yield
        finally:
            for function in (self.losses, self.forward):
                function.learning = False

    @property
    def remarks(self) -> list[str]:
        """Sentences on what was not as asked for, once there is nothing more to compute."""
        remarks, unknown = [], self.losses.surprises
        if skipped := graphs_left_out() - self.left_out_before:
            remarks.append(f"{skipped} compiled functions ran without CUDA graphs: no GPU, or torch can't record them")
        if unknown and self.losses.shapes:
            shapes = "; ".join(" and ".join(str(tuple(one)) for one in several) for several in unknown)
            counted = f"{unknown.total()} times losses were computed uncompiled"
            remarks.append(f"{counted}, for shapes that the warm-up did not meet: {shapes}")
        return remarks


def begin_step(method: Method) -> None:
    """To be called before each optimiser step of a method; see `Compiled.begin_step`."""
    if isinstance(method.losses, Compiled):
        method.losses.begin_step()


def graphs_left_out() -> int:
    """Graphs that this process compiled for CUDA graphs and that run without."""
    from torch._dynamo.utils import counters  # takes seconds, which only who compiles shall wait

    return int(counters["inductor"]["cudagraph_skips"])


def check_compiler() -> None:
    """Raises `UserError` if torch.compile can't work: it generates C++ for CPUs, and to launch kernels on GPUs."""
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in (named, "g++", "clang++") if compiler):
        raise UserError("--compile needs a C++ compiler and finds none; install g++, or leave --compile out")
