"""SwinFC: each operator against a formula that spells it out, and what the method promises."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import methods
from methods.backbones import BackboneError, TimmBackbones
from methods.plain.model import Plain
from methods.swin_attention import last_stage
from methods.swinfc.model import SwinFC, stage_head
from methods.swinfc.modules import (
    CrossSpaceAttention,
    DoubleNorm,
    ExternalAttention,
    FeatureFusion,
    ParallelAttention,
    pooled_complements,
)
from methods.swinfc.numerics import BatchNorm
from methods.swinfc.selection import contrastive_loss, pool_selected

TINY = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 3}
BACKBONES = TimmBackbones("swin_tiny_patch4_window7_224", 96, options=TINY)
CLASSES = 5
GENERATOR = torch.Generator().manual_seed(0)

small = st.integers(1, 5)
slow = settings(deadline=None, max_examples=25)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=GENERATOR)


def build(**options: object) -> SwinFC:
    torch.manual_seed(0)
    return SwinFC(BACKBONES, CLASSES, **options)


def batch(size: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, 3, 96, 96), torch.arange(size) % 3


# The operators.


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


def test_double_norm_shares_every_position_out_among_the_memory() -> None:
    attention = DoubleNorm()(random(2, 6, 9))
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2, 9, dtype=torch.float64))


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


@slow
@given(st.integers(1, 6), small, st.floats(0, 1))
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


def test_batch_norm_takes_one_value_a_channel_and_is_torchs_otherwise() -> None:
    ours, torchs = BatchNorm(3), nn.BatchNorm2d(3)
    features = torch.randn(2, 3, 4, 1)
    assert torch.equal(ours(features), torchs(features))
    one = torch.randn(1, 3)
    expected = (one - ours.running_mean) / (ours.running_var + ours.eps).sqrt()
    torch.testing.assert_close(ours(one), expected)


# The method.


def test_stages_are_tapped_before_their_patches_are_merged() -> None:
    model = build()
    images, _ = batch(2)
    merged: list[Tensor] = []
    for layer in model.backbone.net.layers[2:]:
        layer.downsample.register_forward_pre_hook(lambda _, arguments: merged.append(arguments[0]))
    two, three, four, *_ = model.eval().backbone(images)
    assert [one.shape[1:] for one in (two, three, four)] == [(32, 12, 12), (64, 6, 6), (128, 3, 3)]
    for got, expected in zip((two, three), merged, strict=True):
        assert torch.equal(got, expected.permute(0, 3, 1, 2))


def test_losses_are_those_of_equation_16() -> None:
    betas = (0.4, 0.6, 0.8)
    images, labels = batch()
    model = build().eval()
    *stages, final, attention = model.backbone(images)
    expected = {"swin": F.cross_entropy(model(images), labels)}
    for stage, (beta, logits) in enumerate(zip(betas, model.stage_logits(stages), strict=True), start=2):
        expected[f"stage{stage}"] = beta * F.cross_entropy(logits, labels)
    expected["contrast"] = contrastive_loss(pool_selected(attention, final, None), labels, 0.4)
    got = model.losses(images, labels)
    assert list(got) == list(expected)
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("variant", methods.variants("swinfc"))
def test_every_variant_learns_with_all_its_parameters(variant: str) -> None:
    model = build(**methods.variants("swinfc")[variant])
    images, labels = batch()
    losses = model.losses(images, labels)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    without = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.isfinite().all()]
    assert not without
    assert model.eval()(images).shape == (4, CLASSES)


def test_some_steps_lower_every_loss() -> None:
    model, (images, labels) = build(), batch(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = []
    for _ in range(8):
        losses = model.losses(images, labels)
        history.append({name: loss.item() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert all(history[-1][name] < history[0][name] for name in history[0])


def test_baseline_is_the_plain_method() -> None:
    ours = build(**methods.variants("swinfc")["baseline"])
    plain = Plain(BACKBONES, CLASSES)
    plain.load_state_dict(ours.state_dict())
    images, labels = batch()
    assert torch.equal(ours.eval()(images), plain.eval()(images))
    assert list(ours.losses(images, labels)) == ["swin"]


def test_read_out_is_the_backbones_logits_or_the_sum_of_all() -> None:
    images, _ = batch(2)
    main, summed = build().eval(), build(sum_heads=True).eval()
    *stages, final, _ = main.backbone(images)
    logits = main.head(final.mean(dim=(2, 3)))
    torch.testing.assert_close(main(images), logits)
    torch.testing.assert_close(summed(images), logits + sum(main.stage_logits(stages)))


@pytest.mark.parametrize("variant", ["paper", "fbsd_head"])
def test_one_image_trains(variant: str) -> None:
    losses = build(**methods.variants("swinfc")[variant]).losses(*batch(1))
    assert all(loss.isfinite() for loss in losses.values())


def test_logits_of_an_image_do_not_depend_on_its_batch() -> None:
    model, (images, _) = build(sum_heads=True).eval(), batch(3)
    torch.testing.assert_close(model(images)[1:2], model(images[1:2]), rtol=1e-4, atol=1e-5)


def test_attention_is_one_map_a_head() -> None:
    maps = build().eval().attention(batch(2)[0])
    assert maps.shape == (2, 4, 3, 3)
    assert (maps >= 0).all()


@pytest.mark.parametrize("betas", [(), (0.4, 0.6, 0.8)])
def test_without_selection_attention_stays_fused_and_nothing_else_changes(betas: tuple[float, ...]) -> None:
    options = {"betas": betas, "sum_heads": True}
    selecting, without = build(**options).eval(), build(**options, fsm=False).eval()
    images, labels = batch()
    assert without.attention(images) is None
    assert without.explain(images) == {}
    for ours, plain in zip(
        last_stage(without.backbone.net), last_stage(Plain(BACKBONES, CLASSES).backbone.net), strict=True
    ):
        assert ours.attn.fused_attn == plain.attn.fused_attn
    torch.testing.assert_close(without(images), selecting(images))
    losses = selecting.losses(images, labels)
    del losses["contrast"]
    for name, value in without.losses(images, labels).items():
        torch.testing.assert_close(value, losses.pop(name))
    assert not losses


def test_windows_that_do_not_fit_the_last_stage_serve_too() -> None:
    torch.manual_seed(0)
    backbones = TimmBackbones(BACKBONES.name, 96, options={**TINY, "window_size": 2})
    losses = SwinFC(backbones, CLASSES, rollout=True).losses(*batch(2))
    assert all(loss.isfinite() for loss in losses.values())


def test_bfloat16_gives_the_losses_of_float32_to_its_precision() -> None:
    model, (images, labels) = build().eval(), batch()
    exact = model.losses(images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.losses(images, labels)
    for name, value in exact.items():
        torch.testing.assert_close(rough[name].float(), value, rtol=0.03, atol=0.02)


def test_a_step_compiles_without_a_graph_break() -> None:
    model, (images, labels) = build().eval(), batch(2)
    expected = model.losses(images, labels)
    compiled = torch.compile(model.losses, backend="aot_eager", fullgraph=True)(images, labels)
    for name, value in expected.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100"])
def test_a_backbone_that_is_no_swin_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(BackboneError, match="is no Swin Transformer"):
        SwinFC(TimmBackbones(name, 96), CLASSES)


def test_betas_must_be_one_for_each_branch() -> None:
    with pytest.raises(ValueError, match="stages 2, 3 and 4"):
        build(betas=(0.4, 0.6))


@pytest.mark.parametrize("option", ["memory", "reduction", "width", "selected"])
def test_counts_start_at_one(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0; it must be 1 or more"):
        build(**{option: 0})


def test_fbsd_head_has_two_layers_and_normalises() -> None:
    kinds = [type(layer) for layer in stage_head(8, 3, fbsd=True)]
    assert kinds == [BatchNorm, nn.Linear, BatchNorm, nn.ELU, nn.Linear]


def test_loss_of_an_untrained_head_is_that_of_guessing() -> None:
    model, (images, labels) = build(), batch()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert model.losses(images, labels)["swin"].item() == pytest.approx(math.log(CLASSES))
