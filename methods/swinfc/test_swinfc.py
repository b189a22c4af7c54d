"""SwinFC as a whole: what its losses are made of, and what it promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import methods
from methods.backbones import BackboneError, TimmBackbones
from methods.plain.model import Plain
from methods.swin_attention import last_stage
from methods.swinfc.model import SwinFC, stage_head
from methods.swinfc.numerics import BatchNorm
from methods.swinfc.selection import contrastive_loss, pool_selected

TINY = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 3}
BACKBONES = TimmBackbones("swin_tiny_patch4_window7_224", 96, options=TINY)
CLASSES = 5


def build(**options: object) -> SwinFC:
    torch.manual_seed(0)
    return SwinFC(BACKBONES, CLASSES, **options)


def batch(size: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, 3, 96, 96), torch.arange(size) % 3


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
