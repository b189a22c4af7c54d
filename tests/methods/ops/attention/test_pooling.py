"""Bilinear attention pooling against the part-by-part formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.ops.attention.pooling import average_parts, bilinear_attention_pool
from methods.ops.second_order.outer_products import maximum_over_positions

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def slow_pool(attention: Tensor, features: Tensor, maximum: bool) -> Tensor:
    rows = []
    for sample, maps in zip(features.double(), attention.double(), strict=True):
        parts = [one * sample for one in maps]
        pooled = [part.amax(dim=(1, 2)) if maximum else part.mean(dim=(1, 2)) for part in parts]
        row = torch.cat(pooled)
        row = row.sign() * row.abs().sqrt()
        rows.append(row / max(float(row.norm()), 1e-12))
    return torch.stack(rows)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, SIZES, SIZES, st.booleans())
def test_pooling_is_the_part_by_part_formula(seed, count, maps, channels, height, width, maximum):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(count, maps, height, width, generator=generator)
    features = torch.randn(count, channels, height, width, generator=generator)
    fast = bilinear_attention_pool(attention, features, maximum)
    torch.testing.assert_close(fast.double(), slow_pool(attention, features, maximum), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [average_parts, maximum_over_positions])
def test_pooling_has_the_right_gradient(parts):
    attention = torch.rand(2, 3, 7, dtype=torch.float64, requires_grad=True)
    features = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(parts, (attention, features))


def test_pooling_is_float32_and_finite_where_a_map_is_dead():
    attention, features = torch.zeros(2, 3, 4, 4), torch.rand(2, 5, 4, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix = bilinear_attention_pool(attention.bfloat16(), features)
    matrix.sum().backward()
    assert matrix.dtype == torch.float32
    assert matrix.abs().max() == 0
    assert features.grad.isfinite().all()
