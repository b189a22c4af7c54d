"""One-vs-all linear SVMs on n descriptors of far more than n numbers.

An SVM depends on its samples only through their inner products, and the SVMs of all classes have the same samples. So
the Gram matrix of the descriptors is computed once (CUB: n = 11 988 with mirror images, 1.15 GB, in place of 262 144
numbers for each), and all SVMs are solved on it together, on the device (`dual_solver.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.bilinear_cnn.dual_solver import solve_duals
from methods.ops.precision import full_float32

BLOCK = 1024
"""Descriptors that are on the device at once: 1 GiB in float32."""

RIDGE = 1e-4
"""Added to the diagonal of the Gram matrix, relative to its mean, so that rounding can't make it indefinite.

It acts like one more coordinate for each descriptor alone, a hundredth of its length, and moves the score of a
training sample by at most RIDGE·C.
"""

C = 1.0
"""Weight of the hinge losses, as the authors' MATLAB code passes it to VLFeat (`model_train.m`)."""

GAP = 1e-6
"""Duality gap, relative to the objective, at which an SVM is solved.

The authors' code stops at 1e-3 of another measure. There LinearSVC's scores of cub100's test images (30 classes, 600
descriptors) were up to 1.3e-4 from its own with a tolerance of 1e-7; ours were 1.5e-7 from them.
"""


@full_float32()
def one_vs_all_svm(
    descriptors: Tensor, labels: Tensor, num_classes: int, device: torch.device, gap: float = GAP
) -> tuple[Tensor, Tensor]:
    """Descriptors `(n, d)` and labels `(n,)`, both on the host -> weight `(K, d)` and bias `(K,)`, float32, there too.

    Hinge loss; the bias is the weight of a constant feature 1. Each class is then calibrated as the authors do: the
    medians of its own and of all other training scores become 1 and 0. A class without a training image always scores
    -1, one that has all of them 1. The SVMs are solved in float64 on `device`, from products of descriptors in float32,
    also with `--precision tf32`. Raises `ValueError` for descriptors that are not finite.
    """
    inner = gram_matrix(descriptors, device)
    if not inner.isfinite().all():
        raise ValueError("descriptors hold NaN or infinite values: the training diverged; lower its learning rate")
    inner += 1  # the constant feature's
    own = labels.to(device) == torch.arange(num_classes, device=device)[:, None]
    present = own.any(1) & ~own.all(1)
    bias = torch.where(own.any(1), 1.0, -1.0).double()
    dual = torch.zeros(own.shape, dtype=torch.float64, device=device)
    if present.any():
        solved = solve_duals(inner, own[present].double() * 2 - 1, C, gap)
        low, high = _medians(solved @ inner, own[present])
        span = torch.where(high > low, high - low, 1.0)  # no span, nothing to calibrate
        dual[present] = solved / span[:, None]
        bias[present] = (solved.sum(1) - low) / span
    weight = torch.zeros(num_classes, descriptors.shape[1])
    for start in range(0, len(descriptors), BLOCK):
        block = descriptors[start : start + BLOCK].to(device).float()
        weight += (dual[:, start : start + BLOCK].float() @ block).cpu()
    return weight, bias.float().cpu()


def gram_matrix(descriptors: Tensor, device: torch.device) -> Tensor:
    """Inner products of all pairs of `(n, d)`, with the ridge: float64 `(n, n)` on `device`, block by block."""
    blocks = range(0, len(descriptors), BLOCK)
    gram = torch.zeros(len(descriptors), len(descriptors), dtype=torch.float64, device=device)
    for start in blocks:
        left = descriptors[start : start + BLOCK].to(device).float()
        for other in range(0, start + 1, BLOCK):
            right = left if other == start else descriptors[other : other + BLOCK].to(device).float()
            product = (left @ right.T).double()
            gram[start : start + BLOCK, other : other + BLOCK] = product
            gram[other : other + BLOCK, start : start + BLOCK] = product.T
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    return gram


def _medians(scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Medians of each class's scores `(K, n)` of the others' and of its own samples, `(K,)` each."""
    pairs = [(one[~mine].quantile(0.5), one[mine].quantile(0.5)) for one, mine in zip(scores, own, strict=True)]
    low, high = (torch.stack(part) for part in zip(*pairs, strict=True))
    return low, high
