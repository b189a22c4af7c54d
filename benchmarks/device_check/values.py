"""Whether a method computes on a device what it computes on the CPU in float64: logits, losses and gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.device_check.finding import Finding
from benchmarks.device_check.host_draws import HostDraws
from benchmarks.device_check.networks import small_batch, small_method
from benchmarks.training.device import numerics
from benchmarks.training.networks.build_method import autocast
from methods.interface import Method
from results.settings import Precision

Tolerances = dict[Precision, tuple[float, float, float]]
TOLERANCES: Tolerances = {
    "fp32": (1e-4, 1e-4, 5e-2),
    "tf32": (1e-2, 5e-2, 0.2),
    "bf16": (3e-2, 0.15, 0.6),
}
"""Largest difference of logits, losses and gradient, each as the norm of the difference over the norm of the reference.

Chosen from the differences between float64 and each precision that the methods showed on a CPU; the largest were 1e-6,
3e-6 and 8e-3 in float32, 8e-3, 5e-2 and 0.2 in bf16. bf16 may differ about three times as much. Logits in float32 may
reach a fifth of what rounding to TF32 brings (2^-11), so that TF32 is found where float32 was asked for. Gradients get
more room: where rounding moves the edge of a crop of WS-DAN by a pixel, its gradient jumps. TF32 rounds eight times as
finely as bf16 and has not been measured: a third of bf16's."""
RANKED = frozenset({"pim", "herbs"})
"""Methods that weigh tokens by their rank: rounding swaps some that have nearly the same score, as all have in a
network that has learnt nothing."""
TOLERANCES_RANKED: Tolerances = {
    "fp32": (1e-2, 1e-2, 0.2),
    "tf32": (5e-2, 0.1, 0.5),
    "bf16": (0.1, 0.2, 0.8),
}
"""For these. The largest differences that they showed on CPUs were 1.3e-3, 3e-4 and 1.2e-2 in float32, 2e-2, 7e-3 and
0.3 in bf16; which tokens are swapped depends on the processor. A swap matters as much in any precision, and more happen
in a lower one. TF32 is not told from float32."""
PARTS = ("logits", "losses", "gradient")


class Answer(NamedTuple):
    """What a method computes of a batch, float64 on the host."""

    logits: Tensor
    """(B, K)"""
    losses: Tensor
    """One for each loss term of each optimiser step."""
    gradient: Tensor
    """Of the sum of losses, all parameters in a row."""


def check_values(method: str, device: str, precisions: Sequence[Precision]) -> Finding:
    """Compares the method on its small network in each precision, uncompiled."""
    return compare(small_method(method), *small_batch(), torch.device(device), precisions, tolerances(method))


def tolerances(method: str) -> Tolerances:
    """How much a method's logits, losses and gradient may differ, by precision."""
    return TOLERANCES_RANKED if method in RANKED else TOLERANCES


def compare(
    method: Method,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    precisions: Sequence[Precision],
    allowed: Tolerances = TOLERANCES,
) -> Finding:
    """Compares a method on `device` with itself on the CPU in float64; images `(B, 3, H, W)`, labels `(B,)`."""
    with HostDraws(), numerics("fp32"):
        reference = answer(copy.deepcopy(method).double(), images.double(), labels, "fp32")
    numbers: dict[str, float] = {}
    for precision in precisions:
        own = copy.deepcopy(method).to(device).to(memory_format=torch.channels_last)
        given = images.to(device).contiguous(memory_format=torch.channels_last)
        with HostDraws(), numerics(precision):
            numbers |= differences(answer(own, given, labels.to(device), precision), reference, precision)
    return judged(numbers, precisions, allowed)


def answer(
    method: Method,
    images: Tensor,
    labels: Tensor,
    precision: Precision,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> Answer:
    """Logits in evaluation mode, then losses and gradient in training mode, always from the same random numbers."""
    torch.manual_seed(0)
    method.eval()
    with torch.no_grad(), autocast(images.device, precision):
        logits = (forward or method)(images)
    torch.manual_seed(0)
    method.train()
    with autocast(images.device, precision):
        terms = [term for losses in method.steps(images, labels) for term in losses.values()]
    losses = torch.stack([term if term.dtype == torch.float64 else term.float() for term in terms])
    losses.sum().backward()
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in method.parameters()]
    return Answer(_kept(logits), _kept(losses), torch.cat([_kept(one).flatten() for one in gradients]))


def differences(found: Answer, reference: Answer, precision: Precision) -> dict[str, float]:
    """`bf16_logits`, `bf16_losses`, `bf16_gradient`: norm of the difference over norm of the reference.

    What is not finite counts as `NOT_FINITE`, which no tolerance allows.
    """
    return {
        f"{precision}_{part}": _relative(own, right) for part, own, right in zip(PARTS, found, reference, strict=True)
    }


NOT_FINITE = 1e9


def judged(numbers: dict[str, float], precisions: Sequence[Precision], allowed: Tolerances) -> Finding:
    """Wrong if any difference is beyond its tolerance."""
    beyond = [
        f"{precision} {part} differ by {numbers[f'{precision}_{part}']:.0e}, allowed {most:.0e}"
        for precision in precisions
        for part, most in zip(PARTS, allowed[precision], strict=True)
        if not numbers[f"{precision}_{part}"] <= most
    ]
    if beyond:
        return Finding("wrong", "; ".join(beyond), numbers)
    logits = ", ".join(f"{precision} {numbers[f'{precision}_logits']:.0e}" for precision in precisions)
    return Finding("ok", f"logits within {logits}", numbers)


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()


def _relative(found: Tensor, reference: Tensor) -> float:
    difference = ((found - reference).norm() / reference.norm().clamp(min=1e-12)).item()
    return difference if difference < NOT_FINITE else NOT_FINITE
