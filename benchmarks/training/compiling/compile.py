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

KINDS = 64
"""Compiled versions of one function that torch keeps: its own 8 are too few for several steps of a batch, forms of
labels and sizes of pieces, and it runs what is beyond uncompiled without a word."""

Kind = tuple[torch.Size | float, ...]
"""Of a call: the shape of each tensor, and each number itself."""


class Compiled:
    """A function of tensors and numbers, compiled for the kinds of calls it met while it was `learning`.

    A number tells apart the steps of a batch, so each of its values is a kind of its own. Other kinds run uncompiled.
    An epoch's smaller last batch does: compiling for it takes as long as for the others, 15 to 25 s for ResNet-50, and
    would save some 10 ms of an epoch of CUB (42 of 5 994 images; estimated from an H200's rates). Batch norm forbids to
    fill it up.
    """

    def __init__(self, function: Callable[..., Any], mode: CompileMode) -> None:
        self.function, self.mode = function, mode
        self.compiled = torch.compile(function, backend=BACKEND, mode=mode, dynamic=False)
        self.known: set[Kind] = set()
        self.unknown: Counter[Kind] = Counter()
        """Calls that ran uncompiled."""
        self.learning = False

    def __call__(self, *given: Tensor | float) -> Any:
        if torch.compiler.is_compiling():  # called by another function, as part of which it is compiled
            return self.function(*given)
        kind = tuple(one.shape if isinstance(one, Tensor) else one for one in given)
        if self.learning:
            self.known.add(kind)
        elif kind not in self.known:
            self.unknown[kind] += 1
        return (self.compiled if kind in self.known else self.function)(*given)

    def begin_step(self) -> None:
        """To be called before a step: what compiled functions returned in earlier ones is used no more.

        A CUDA graph writes its outputs to the same memory each time. Within a step, torch keeps all of them apart.
        """
        if self.mode != "default":  # torch would load its compiler to be told, which takes seconds
            torch.compiler.cudagraph_mark_step_begin()

    @property
    def surprises(self) -> Counter[Kind]:
        """The unknown kinds of calls that are not those of a smaller last batch."""
        return Counter({kind: calls for kind, calls in self.unknown.items() if not self._is_smaller(kind)})

    def _is_smaller(self, kind: Kind) -> bool:
        """Whether some known kind differs from this one in nothing but more images."""
        apart, images = _without_images(kind)
        return any(one == apart and more > images for one, more in map(_without_images, self.known))


def _without_images(kind: Kind) -> tuple[Kind, int]:
    """A kind of call but for how many images it has, and their number: the first size of the first tensor."""
    shapes = [one for one in kind if isinstance(one, torch.Size)]
    return tuple(one[1:] if isinstance(one, torch.Size) else one for one in kind), shapes[0][0] if shapes else 0


class CompiledForward(Compiled):
    """A forward pass from images to logits. Each call is a step, and the logits are the caller's to keep."""

    def __call__(self, *given: Tensor | float) -> Any:
        self.begin_step()
        return super().__call__(*given).clone()

    def in_batches_of(self, size: int) -> Callable[[Tensor], Tensor]:
        """The same for at most `size` images `(B, 3, H, W)`, so that one graph serves them all.

        Fewer are filled up with copies of the last one, whose logits are left out. An image's logits do not depend on
        the others of its batch. Where the forward pass is compiled at all, it is for this size, too: a lack of memory
        may have made it smaller since the warm-up.
        """

        def forward(images: Tensor) -> Tensor:
            lacking, whole = size - len(images), torch.Size((size, *images.shape[1:]))
            if self.known:
                self.known.add((whole,))
            if lacking <= 0 or not (self.learning or (whole,) in self.known):
                return self(images)
            filled = torch.cat([images, images[-1:].expand(lacking, -1, -1, -1)])
            return self(filled.contiguous(memory_format=torch.channels_last))[: len(images)]

        return forward


class CompiledMethod:
    """Replaces the `loss_functions` of a method by compiled ones, and compiles its forward pass as `forward`.

    A method whose steps call none of them trains uncompiled. Raises `UserError` if there is no C++ compiler.
    """

    def __init__(self, method: Method, mode: CompileMode = "default") -> None:
        check_compiler()
        kept_code.use_folder()
        torch.compiler.reset()  # functions of earlier Runs in this process count against torch's limit
        torch._dynamo.config.recompile_limit = KINDS
        self.losses = {name: Compiled(getattr(method, name), mode) for name in method.loss_functions}
        self.forward = CompiledForward(method.forward, mode)
        for name, function in self.losses.items():
            setattr(method, name, function)
        self.left_out_before = graphs_left_out()
        self.rounds = 1 if mode == "default" else ROUNDS_OF_A_GRAPH
        """Calls that it takes to learn a kind."""

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Within, each new kind of call is compiled."""
        functions = (*self.losses.values(), self.forward)
        for function in functions:
            function.learning = True
        try:
            yield
        finally:
            for function in functions:
                function.learning = False

    @property
    def trains(self) -> bool:
        """Whether anything of a training step was compiled."""
        return any(function.known for function in self.losses.values())

    @property
    def remarks(self) -> list[str]:
        """Sentences on what was not as asked for, once there is nothing more to compute."""
        remarks = []
        unknown = sum((function.surprises for function in self.losses.values()), Counter[Kind]())
        if skipped := graphs_left_out() - self.left_out_before:
            remarks.append(f"{skipped} compiled functions ran without CUDA graphs: no GPU, or torch can't record them")
        if unknown and self.trains:
            shapes = "; ".join(" and ".join(map(_in_words, kind)) for kind in unknown)
            counted = f"{unknown.total()} times losses were computed uncompiled"
            remarks.append(f"{counted}, for shapes that the warm-up did not meet: {shapes}")
        return remarks


def _in_words(one: torch.Size | float) -> str:
    return str(tuple(one)) if isinstance(one, torch.Size) else str(one)


def begin_step(method: Method) -> None:
    """To be called before each optimiser step of a method; see `Compiled.begin_step`."""
    functions = (getattr(method, name) for name in method.loss_functions)
    if compiled := next((one for one in functions if isinstance(one, Compiled)), None):
        compiled.begin_step()


def not_compiled(method: Method) -> str:
    """Why nothing of a method's training was compiled, where its steps were taken: a sentence without its subject."""
    names = " or ".join(f"`{name}`" for name in method.loss_functions)
    return f"does not step through {names}" if names else "names no `loss_functions`"


def graphs_left_out() -> int:
    """Graphs that this process compiled for CUDA graphs and that run without."""
    from torch._dynamo.utils import counters  # takes seconds, which only who compiles shall wait

    return int(counters["inductor"]["cudagraph_skips"])


def check_compiler() -> None:
    """Raises `UserError` if torch.compile can't work: it generates C++ for CPUs, and to launch kernels on GPUs."""
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in (named, "g++", "clang++") if compiler):
        raise UserError("--compile needs a C++ compiler and finds none; install g++, or leave --compile out")
