"""One-vs-all linear SVMs on n descriptors of far more than n numbers.

An SVM depends on its samples only through their inner products. The descriptors of 262 144 numbers are therefore first
replaced by vectors of n numbers with the same inner products (the rows of a Cholesky factor of the Gram matrix). The
SVMs are the same, and scikit-learn solves each on a matrix 20 times smaller (CUB: n = 11 988 with mirror images).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 1024
"""Descriptors that are on the device at once: 1 GiB in float32."""

RIDGE = 1e-4
"""Added to the diagonal of the Gram matrix, relative to its mean, so that rounding can't make it indefinite.

It acts like one more coordinate for each descriptor alone, a hundredth of its length, and moves the score of a
training sample by at most RIDGE·C.
"""

C = 1.0
TOLERANCE = 1e-3
"""Weight of the hinge losses and tolerance of the solver, as the authors' MATLAB code passes them to VLFeat
(`model_train.m`)."""


def one_vs_all_svm(
    descriptors: Tensor, labels: Tensor, num_classes: int, device: torch.device, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor]:
    """Descriptors `(n, d)` and labels `(n,)`, both on the host -> weight `(K, d)` and bias `(K,)`, float32, there too.

    Hinge loss; the bias is the weight of a constant feature 1. Each class is then calibrated as the authors do: the
    medians of its own and of all other training scores become 1 and 0. A class without a training image always scores
    -1, one that has all of them 1. The large products run on `device`.
    """
    gram = gram_matrix(descriptors, device)
    factor = torch.linalg.cholesky(gram)
    rows = factor.cpu().numpy()
    solved = [_fit(rows, (labels == k).numpy(), tolerance) for k in range(num_classes)]
    weights, biases = (torch.from_numpy(np.stack(part)) for part in zip(*solved, strict=True))
    dual = torch.linalg.solve_triangular(factor.T, weights.T.to(device), upper=True)
    weight = torch.zeros(num_classes, descriptors.shape[1])
    for start in range(0, len(descriptors), BLOCK):
        block = descriptors[start : start + BLOCK].to(device).float()
        weight += (dual[start : start + BLOCK].T.float() @ block).cpu()
    return weight, biases.float()


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


def _fit(rows: NDArray[np.float64], own: NDArray[np.bool_], tolerance: float) -> tuple[NDArray[np.float64], np.float64]:
    """One class against the others on `(n, n)` rows: calibrated weights `(n,)` and bias."""
    from sklearn.svm import LinearSVC

    if own.all() or not own.any():
        return np.zeros(rows.shape[1]), np.float64(1 if own.any() else -1)
    svm = LinearSVC(loss="hinge", C=C, tol=tolerance, intercept_scaling=1, max_iter=10_000, random_state=0)
    svm.fit(rows, own)
    scores = svm.decision_function(rows)
    high, low = np.median(scores[own]), np.median(scores[~own])
    gap = high - low if high > low else 1.0  # no gap, nothing to calibrate
    return svm.coef_[0] / gap, (svm.intercept_[0] - low) / gap
