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
"""The compiler. It caches its code on disk, for the next seed in this or another process."""


class Compiled:
    """A function of tensors, compiled for the shapes it met while it was `learning`.

    Other shapes, such as an epoch's smaller last batch, run uncompiled: compiling for them would cost more.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.compiled = torch.compile(function, backend=BACKEND, dynamic=False)
        self.shapes: set[tuple[torch.Size, ...]] = set()
        self.learning = False

    def __call__(self, *tensors: Tensor) -> Any:
        shapes = tuple(tensor.shape for tensor in tensors)
        if self.learning:
            self.shapes.add(shapes)
        return (self.compiled if shapes in self.shapes else self.function)(*tensors)


class CompiledMethod:
    """Replaces the `losses` of a method by a compiled function, and compiles its forward pass as `forward`.

    A method whose steps do not call `losses` trains uncompiled. Raises `UserError` if there is no C++ compiler.
    """

    def __init__(self, method: Method) -> None:
        check_compiler()
        torch.compiler.reset()  # functions of earlier Runs in this process count against torch's limit
        self.losses, self.forward = Compiled(method.losses), Compiled(method.forward)
        method.losses = self.losses  # type: ignore[method-assign, assignment]

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


def check_compiler() -> None:
    """Raises `UserError` if torch.compile can't work: it generates C++ for CPUs, and to launch kernels on GPUs."""
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in (named, "g++", "clang++") if compiler):
        raise UserError("--compile needs a C++ compiler and finds none; install g++, or leave --compile out")
