"""Whether a method compiles as a whole, without a graph break, and then computes the same."""

from __future__ import annotations

import copy
import time

import torch
from torch._inductor import config as inductor

from benchmarks.device_check.finding import Finding, not_run, one_line
from benchmarks.device_check.networks import small_batch, small_method
from benchmarks.device_check.values import TOLERANCES, Tolerances, answer, differences, judged, tolerances
from benchmarks.errors import UserError
from benchmarks.training.compiling.compile import BACKEND, check_compiler
from benchmarks.training.device import numerics
from methods.interface import Method
from results.settings import Precision


def check_compilation(method: str, device: str, precision: Precision) -> Finding:
    """Compiles losses and forward pass of the method on its small network, and compares them with uncompiled ones."""
    try:
        check_compiler()
    except UserError as error:
        return not_run(str(error))
    return compare_compiled(small_method(method), torch.device(device), precision, allowed=tolerances(method))


def compare_compiled(
    method: Method,
    device: torch.device,
    precision: Precision,
    backend: str = BACKEND,
    allowed: Tolerances = TOLERANCES,
) -> Finding:
    """The same of a given method. torch's backend `aot_eager` traces as the compiler does, without generating code."""
    images, labels = (value.to(device) for value in small_batch())
    images = images.contiguous(memory_format=torch.channels_last)
    plain, compiled = (copy.deepcopy(method).to(device).to(memory_format=torch.channels_last) for _ in range(2))
    functions = {
        name: torch.compile(getattr(compiled, name), backend=backend, fullgraph=True, dynamic=False)
        for name in compiled.loss_functions
    }
    forward = torch.compile(compiled.forward, backend=backend, fullgraph=True, dynamic=False)
    for name, function in functions.items():
        setattr(compiled, name, function)
    # Compiled code draws other random numbers unless it is told to draw torch's.
    with numerics(precision), inductor.patch(fallback_random=True):
        expected = answer(plain, images, labels, precision)
        try:
            began = time.monotonic()
            found = answer(compiled, images, labels, precision, forward)
            first = time.monotonic() - began
        except torch._dynamo.exc.Unsupported as error:
            return Finding("wrong", f"does not compile as a whole ({one_line(error)})")
    result = judged(differences(found, expected, precision), [precision], allowed)
    words = f"{first:.0f} s: {result.finding}"
    return result._replace(finding=words, numbers={**result.numbers, "compile_s": first})
