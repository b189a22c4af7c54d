"""The contrastive loss against its sum over pairs."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.ops.contrast import contrastive_loss

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=GENERATOR)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(1, 5), st.floats(0, 1))
def test_contrastive_loss_is_the_sum_over_pairs(b: int, c: int, margin: float) -> None:
    vectors, labels = random(b, c), torch.randint(0, 3, (b,))
    total = 0.0
    for i, j in product(range(b), range(b)):
        cosine = float(vectors[i] @ vectors[j] / (vectors[i].norm() * vectors[j].norm()))
        total += 1 - cosine if labels[i] == labels[j] else max(cosine - margin, 0)
    got = contrastive_loss(vectors, labels, margin)
    assert float(got) == pytest.approx(total / b**2, abs=1e-12)


def test_contrastive_loss_has_its_formulas_gradient() -> None:
    labels = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(
        lambda vectors: contrastive_loss(vectors, labels, 0.1), random(4, 6).requires_grad_()
    )


def test_contrastive_loss_is_zero_for_aligned_classes_at_right_angles_and_for_one_image() -> None:
    vectors = torch.eye(3).repeat(2, 1) * torch.tensor([1, 2, 3, 4, 5, 6]).unsqueeze(1)
    assert contrastive_loss(vectors, torch.tensor([0, 1, 2, 0, 1, 2]), 0.4).abs() < 1e-6
    assert contrastive_loss(torch.randn(1, 8), torch.tensor([3]), 0.4).abs() < 1e-6
