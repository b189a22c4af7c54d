"""A method's losses and forward pass through torch.compile."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.errors import UserError
from methods.interface import Method

BACKEND = "inductor"
"""What compiles. It keeps its code on disk, where the next seed finds it, be it in this process or another."""


class Compiled:
    """A function of tensors, compiled for the shapes it met while it was `learning`.

    Other shapes, as of an epoch's smaller last batch, run as they are written: compiling for them would cost more.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.written = function
        self.compiled = torch.compile(function, backend=BACKEND, dynamic=False)
        self.shapes: set[tuple[torch.Size, ...]] = set()
        self.learning = False

    def __call__(self, *tensors: Tensor) -> Any:
        shapes = tuple(tensor.shape for tensor in tensors)
        if self.learning:
            self.shapes.add(shapes)
        return (self.compiled if shapes in self.shapes else self.written)(*tensors)


class CompiledMethod:
    """Compiles the `losses` of a method, in its place, and its forward pass, beside it.

    A method whose steps do not go through `losses` is left as it is written. Raises `UserError` without a compiler.
    """

    def __init__(self, method: Method) -> None:
        check_compiler()
        torch.compiler.reset()  # what earlier Runs of this process compiled would count against torch's limit
        self.losses, self.forward = Compiled(method.losses), Compiled(method.forward)
        method.losses = self.losses  # type: ignore[method-assign, assignment]

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Within, every shape is compiled for."""
        for function in (self.losses, self.forward):
            function.learning = True
        try:
            yield
        finally:
            for function in (self.losses, self.forward):
                function.learning = False


def check_compiler() -> None:
    """Raises `UserError` where torch.compile could not work: it writes C++ for a CPU, and to launch a GPU's kernels."""
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in (named, "g++", "clang++") if compiler):
        raise UserError("--compile needs a C++ compiler and finds none; install g++, or leave --compile out")
