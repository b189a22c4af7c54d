"""Solves the duals of many linear SVMs on the same samples together, by products of matrices on any device.

The dual of one SVM with hinge loss, in signed multipliers x (its usual ones times the signs y = ±1 of the samples):

    minimise ½ x·Hx - y·x  over  0 <= x_i·y_i <= C,

where H holds the samples' inner products; the weights are Σ x_i z_i, the scores of the samples Hx. Few x_i end up other
than 0, so each round picks, for each SVM, those that are and the ones that most want to be (its working set), and
improves them with the rest held. Within a set this is MPRGP (Dostál, "Box constrained quadratic programming with
proportioning and projections", SIAM J. Optim. 1997): conjugate gradients on the free multipliers, steps along the
gradient of those at a bound where that is larger, and the projection of a step that leaves the box.

Every round begins with a projected gradient step on a set that has the most violated multipliers, and no step raises
the objective: with a positive definite H the rounds converge. scikit-learn's LinearSVC solves the same problem, one
SVM after the other on one core.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

NEWCOMERS = 128
"""Multipliers that may leave 0 in one round."""

STEPS = 50
"""Steps of MPRGP in one round. With `NEWCOMERS`, the fastest of those tried on cub100's descriptors."""

ROUNDS = 200
"""Rounds after which the solver gives up; descriptors of real images take about ten."""

ENTRIES = 2**27
"""Entries of H that working sets hold at a time: 1 GiB in float64."""

TINY = 1e-300
"""Keeps a step along a direction of length 0 from being 0 / 0."""


def solve_duals(inner: Tensor, signs: Tensor, c: float, gap: float) -> Tensor:
    """Inner products H `(n, n)`, positive definite, and signs ±1 `(K, n)` -> signed multipliers x `(K, n)`, float64.

    An SVM is solved when its duality gap is at most `gap` of its objective. Warns of those that are not after `ROUNDS`
    rounds. The host looks at the device once a round.
    """
    x = torch.zeros_like(signs)
    unsolved = torch.arange(len(signs), device=signs.device)
    for done in range(ROUNDS + 1):
        now, y = x[unsolved], signs[unsolved]
        scores = now @ inner
        gaps = relative_gap(now, scores, y, c)
        still = gaps > gap
        if not still.any():
            break
        unsolved = unsolved[still]
        if done < ROUNDS:
            x[unsolved] = _improve(inner, now[still], scores[still], y[still], c)
        else:
            message = f"SVMs have not converged: {len(unsolved)}, rounds: {ROUNDS}, largest gap: {gaps.max():.1e}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return x


def relative_gap(x: Tensor, scores: Tensor, signs: Tensor, c: float) -> Tensor:
    """Duality gap of each SVM relative to its primal objective, `(K,)`; `scores` are Hx, all others `(K, n)` too."""
    half = (x * scores).sum(1) / 2  # ½‖w‖²
    primal = half + c * (1 - signs * scores).clamp_min(0).sum(1)
    dual = (signs * x).sum(1) - half
    return (primal - dual) / primal


def _improve(inner: Tensor, x: Tensor, scores: Tensor, signs: Tensor, c: float) -> Tensor:
    """One round: `x` with the working set of each SVM improved."""
    low, high = c * signs.clamp_max(0), c * signs.clamp_min(0)
    slope = scores - signs
    pull = torch.where(x <= low, slope.clamp_max(0), torch.where(x >= high, slope.clamp_min(0), slope)).abs()
    size = min(x.shape[1], int((x != 0).sum(1).max()) + NEWCOMERS)
    chosen = pull.where(x == 0, torch.inf).topk(size, dim=1).indices
    better = []
    for part in torch.arange(len(x), device=x.device).split(max(1, ENTRIES // size**2)):
        rows = chosen[part]
        products = inner[rows[:, :, None], rows[:, None, :]]
        better.append(_mprgp(products, *(one[part].gather(1, rows) for one in (x, slope, low, high))))
    return x.scatter(1, chosen, torch.cat(better))


def _mprgp(products: Tensor, x: Tensor, slope: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Lowers ½ x·Ax - b·x between bounds: A `(K, m, m)`; x, its slope Ax - b, and bounds `(K, m)` -> x."""

    def times(direction: Tensor) -> Tensor:
        return torch.bmm(products, direction.unsqueeze(2)).squeeze(2)

    def free(values: Tensor) -> Tensor:
        return values.where((x > low) & (x < high), 0.0)

    largest = products.abs().sum(2).amax(1, keepdim=True)  # no eigenvalue of A is larger
    start = x
    x = (x - slope / largest).clamp(low, high)
    slope = slope + times(x - start)
    conjugate = free(slope)
    for _ in range(STEPS):
        inward = torch.where(x <= low, slope.clamp_max(0), torch.where(x >= high, slope.clamp_min(0), 0.0))
        along = _dot(inward, inward) <= _dot(free(slope), free(slope))
        direction = torch.where(along, conjugate, inward)
        product = times(direction)
        curvature = _dot(direction, product).clamp_min(TINY)
        step = _dot(slope, direction) / curvature * direction
        inside = (x - step).clamp(low, high)
        left = (inside != x - step).any(1, keepdim=True)
        step = torch.where(left, x - inside, step)
        change = times(step)
        length = (_dot(slope, step) / _dot(step, change).clamp_min(TINY)).clamp(0, 1).where(left, 1.0)
        x = torch.where(left, x - length * step, inside)
        slope = slope - length * change
        steepest = free(slope)
        onward = steepest - _dot(steepest, product) / curvature * free(conjugate)
        conjugate = torch.where(along & ~left, onward, steepest)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
