"""SwinFC's operators, each against a formula that spells it out."""

from __future__ import annotations

from itertools import product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from methods.swinfc.modules import (
    CrossSpaceAttention,
    ExternalAttention,
    FeatureFusion,
    ParallelAttention,
    pooled_complements,
)
from methods.swinfc.numerics import BatchNorm
from methods.swinfc.selection import pool_selected

GENERATOR = torch.Generator().manual_seed(0)
small = st.integers(1, 5)
slow = settings(deadline=None, max_examples=25)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=GENERATOR)


@slow
@given(small, small, small, small, small, st.booleans())
def test_external_attention_is_two_shared_memories_and_a_residual(
    b: int, c: int, h: int, w: int, m: int, double_norm: bool
) -> None:
    module = ExternalAttention(c, m, double_norm).double().eval()
    if not double_norm:
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 2)
    features = random(b, c, h, w)
    n = h * w
    sequence = features.flatten(2)
    attention = torch.zeros(b, m, n, dtype=torch.float64)
    for i, j, k in product(range(m), range(n), range(3)):
        if 0 <= j + k - 1 < n:
            attention[:, i, j] += sequence[:, :, j + k - 1] @ module.w1.weight[i, :, k]
    if double_norm:
        exponential = attention.exp() / attention.exp().sum(dim=2, keepdim=True)
        attention = exponential / exponential.sum(dim=1, keepdim=True)
    else:
        mean, var = module.norm.running_mean[:, None], module.norm.running_var[:, None]
        attention = (attention - mean) / (var + module.norm.eps).sqrt()
    expected = sequence + torch.einsum("bmn,cm->bcn", attention, module.w2.weight[:, :, 0])
    torch.testing.assert_close(module(features).flatten(2), expected)


@slow
@given(small, st.integers(1, 40), small, small)
def test_cross_space_attention_gates_each_row_and_each_column(b: int, c: int, h: int, w: int) -> None:
    module = CrossSpaceAttention(c, 2).double().eval()
    features = random(b, c, h, w)
    expected = torch.empty_like(features)
    for row, column in product(range(h), range(w)):
        gate_of_row = module.rows(features[:, :, row, :].mean(dim=2)[:, :, None, None])
        gate_of_column = module.columns(features[:, :, :, column].mean(dim=2)[:, :, None, None])
        expected[:, :, row, column] = features[:, :, row, column] * (gate_of_row * gate_of_column)[:, :, 0, 0]
    torch.testing.assert_close(module(features), expected)


def test_eaca_adds_the_attentions_of_the_same_features_and_is_nothing_without_them() -> None:
    features = random(2, 4, 3, 3)
    external = ExternalAttention(4, 3, False).double().eval()
    cross = CrossSpaceAttention(4, 2).double().eval()
    torch.testing.assert_close(ParallelAttention(external, cross)(features), external(features) + cross(features))
    assert torch.equal(ParallelAttention(cross)(features), cross(features))
    assert torch.equal(ParallelAttention()(features), features)


def complements(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """FBSD's formula, an image, a pair of positions at a time: maps `(B, D, S)`, `(B, D, T)` -> Y_a, Y_b."""
    y_a, y_b = torch.zeros_like(a), torch.zeros_like(b)
    for image, (x, y) in enumerate(zip(a, b, strict=True)):
        m = torch.empty(a.shape[2], b.shape[2], dtype=a.dtype)
        for s, t in product(range(a.shape[2]), range(b.shape[2])):
            lengths = x[:, s].norm() * y[:, t].norm()  # 0 where a ReLU left nothing: like nothing, unlike nothing
            m[s, t] = -torch.dot(x[:, s], y[:, t]) / lengths.clamp_min(1e-12)
        for s, t in product(range(a.shape[2]), range(b.shape[2])):
            y_a[image, :, s] += y[:, t] * m[s].softmax(0)[t]
            y_b[image, :, t] += x[:, s] * m[:, t].softmax(0)[s]
    return y_a, y_b


@slow
@given(small, small, st.integers(1, 7), st.integers(1, 7))
def test_pooled_complements_are_the_means_of_the_papers_maps(b: int, d: int, s: int, t: int) -> None:
    a, other = random(b, d, s), random(b, d, t)
    got = pooled_complements(a, other)
    for pooled, full in zip(got, complements(a, other), strict=True):
        torch.testing.assert_close(pooled, full.mean(dim=2))


def test_pooled_complements_have_the_gradients_of_the_papers_maps() -> None:
    a, b = random(2, 3, 4).requires_grad_(), random(2, 3, 6).requires_grad_()
    weights = random(2, 3), random(2, 3)
    fast = sum((w * y).sum() for w, y in zip(weights, pooled_complements(a, b), strict=True))
    slow = sum((w * y.mean(dim=2)).sum() for w, y in zip(weights, complements(a, b), strict=True))
    for got, expected in zip(torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b)), strict=True):
        torch.testing.assert_close(got, expected)


def test_fusion_adds_to_each_stage_what_it_gets_from_every_other() -> None:
    module = FeatureFusion((4, 6, 8), 5, gamma=0.7).double().eval()
    maps = [random(2, 4, 4, 4), random(2, 6, 2, 3), random(2, 8, 1, 2)]
    projected = [project(one).flatten(2) for project, one in zip(module.project, maps, strict=True)]
    for p, got in enumerate(module(maps)):
        expected = projected[p].mean(dim=2)
        for q in {0, 1, 2} - {p}:
            expected = expected + 0.7 * complements(projected[p], projected[q])[0].mean(dim=2)
        torch.testing.assert_close(got, expected)


@slow
@given(small, small, small, small, small, st.one_of(st.none(), st.integers(1, 30)))
def test_selected_patches_are_those_with_most_attention(
    b: int, heads: int, c: int, h: int, w: int, selected: int | None
) -> None:
    attention, tokens = torch.rand(b, heads, h, w, dtype=torch.float64), random(b, c, h, w)
    got = pool_selected(attention, tokens, selected)
    for image in range(b):
        flat = attention[image].flatten(1)
        if selected is None:
            chosen = [max(range(h * w), key=lambda place, head=head: float(head[place])) for head in flat]
        else:
            chosen = sorted(range(h * w), key=lambda place, all=flat: -float(all[:, place].mean()))[:selected]
        expected = sum(tokens[image].flatten(1)[:, place] for place in chosen) / len(chosen)
        torch.testing.assert_close(got[image], expected)


def test_batch_norm_takes_one_value_a_channel_and_is_torchs_otherwise() -> None:
    ours, torchs = BatchNorm(3), nn.BatchNorm2d(3)
    features = torch.randn(2, 3, 4, 1)
    assert torch.equal(ours(features), torchs(features))
    one = torch.randn(1, 3)
    expected = (one - ours.running_mean) / (ours.running_var + ours.eps).sqrt()
    torch.testing.assert_close(ours(one), expected)
