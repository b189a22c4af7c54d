"""Multinomial logistic regression with L2, solved by L-BFGS, its strength chosen on held-out training images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import full_float32

STRENGTHS = tuple(10.0**-exponent for exponent in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5))
"""Of L2, from the strongest down; in scikit-learn's terms 1 / (C · n)."""
HELD_OUT = 5
"""One image of so many of a class is held out to choose among them; at least one where there are two."""
PATIENCE = 2
"""Strengths in a row that are worse than the best so far, after which weaker ones are not tried."""
ROUGH, EXACT = (torch.float32, 1e-4), (torch.float64, 1e-7)
"""In which numbers the strengths are compared, and the last solution is found; and the largest entry of the gradient at
which each counts as found. Entries are about 1 / K at the start."""
ITERATIONS = 2000
PASSES = 2 * ITERATIONS
"""For estimates of time, in float32: the exact solution uses up its iterations (2049 passes in float64 on Flowers 17,
each as long as two in float32), beside which those that are compared are few (185)."""


class Logistic(NamedTuple):
    """A solution: logits are `features @ weight.T + bias`."""

    weight: Tensor
    """`(K, D)`"""
    bias: Tensor
    """`(K,)`"""
    l2: float
    loss: float
    """Mean cross-entropy of what it was fitted to, nats."""


@full_float32()
def fit_logistic(features: Tensor, labels: Tensor, num_classes: int) -> Logistic:
    """Features `(n, D)`, labels `(n,)` in `0 .. K-1` -> the classifier of the features as they are.

    Every channel is standardised first, so that a strength means the same on every network, and the solution is taken
    back to the features as they were. The strength with the lowest cross-entropy on the held-out images is chosen, and
    all images are then fitted with it. Where nothing can be held out, it is the middle one.
    """
    features = features.double()
    mean, scale = features.mean(dim=0), features.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)  # a channel that is constant says nothing
    x = (features - mean) / scale
    with torch.autocast(features.device.type, enabled=False):
        l2, start = _chosen(x, labels, num_classes)
        theta = solve(x, labels, l2, start, *EXACT)
    loss = F.cross_entropy(_logits(theta, x), labels).item()
    weight = theta[:, :-1] / scale
    return Logistic(weight, theta[:, -1] - weight @ mean, l2, loss)


def held_out(labels: Tensor) -> Tensor:
    """Which images `(n,)` choose the strength: the last of each class, one in `HELD_OUT`."""
    order = labels.argsort(stable=True)
    counts = labels.bincount()
    begins = counts.cumsum(0) - counts
    rank = torch.empty_like(labels)
    rank[order] = torch.arange(len(labels), device=labels.device) - begins[labels[order]]
    own = counts[labels]
    number = torch.where(own > 1, (own // HELD_OUT).clamp_min(1), 0)
    return rank >= own - number


def _chosen(x: Tensor, labels: Tensor, num_classes: int) -> tuple[float, Tensor]:
    """The strength of L2, and its solution without the held-out images, from which the last one starts."""
    held = held_out(labels)
    if not held.any():
        return STRENGTHS[len(STRENGTHS) // 2], _zeros(x, num_classes)
    best = (float("inf"), STRENGTHS[0], _zeros(x, num_classes))
    worse = 0
    for l2, theta in _path(x[~held], labels[~held], num_classes):
        loss = F.cross_entropy(_logits(theta, x[held]), labels[held]).item()
        worse = 0 if loss < best[0] else worse + 1
        best = min(best, (loss, l2, theta), key=lambda one: one[0])
        if worse == PATIENCE:
            break
    return best[1:]


def _path(x: Tensor, labels: Tensor, num_classes: int) -> Iterator[tuple[float, Tensor]]:
    """Each strength with its solution, which starts from the one before."""
    theta = _zeros(x, num_classes)
    for l2 in STRENGTHS:
        theta = solve(x, labels, l2, theta, *ROUGH)
        yield l2, theta


@torch.enable_grad()
def solve(x: Tensor, labels: Tensor, l2: float, start: Tensor, dtype: torch.dtype, tolerance: float) -> Tensor:
    """Minimises mean cross-entropy + l2 / 2 · |W|² over `(K, D + 1)`, the bias last and free, by L-BFGS."""
    x, theta = x.to(dtype), start.detach().to(dtype, copy=True).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=torch.finfo(dtype).eps / 10,  # a step that changes nothing
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(_logits(theta, x), labels) + l2 / 2 * theta[:, :-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    return theta.detach()


def _logits(theta: Tensor, x: Tensor) -> Tensor:
    return F.linear(x.to(theta.dtype), theta[:, :-1], theta[:, -1])


def _zeros(x: Tensor, num_classes: int) -> Tensor:
    return x.new_zeros(num_classes, x.shape[1] + 1)
