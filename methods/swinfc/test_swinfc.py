"""SwinFC as a whole: what its losses are made of, and what it promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.ops.contrast import contrastive_loss
from methods.ops.tokens.selection import FADED
from methods.plain.model import Plain
from methods.swinfc.model import SwinFC, stage_head
from methods.swinfc.numerics import BatchNorm
from methods.swinfc.selection import pool_selected
from methods.transformers.swin_attention import last_stage

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


def test_attention_and_explanation_show_what_patches_are_selected_by() -> None:
    model, (images, _) = build().eval(), batch(2)
    attention = model.attention(images)
    assert torch.equal(attention, model.backbone(images)[-1])
    chosen = torch.zeros(2, 9).scatter(1, attention.flatten(2).argmax(dim=2), 1).view(2, 1, 3, 3)
    kept = chosen.repeat_interleave(32, dim=2).repeat_interleave(32, dim=3)  # a patch is 32 px wide
    torch.testing.assert_close(model.explain(images)["selected patches"], images * (kept + FADED * (1 - kept)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betas": (0.4, 0.6)}, "stages 2, 3 and 4"),
        *(({name: 0}, f"{name} is 0; it must be 1 or more") for name in ("memory", "reduction", "width", "selected")),
    ],
)
def test_an_option_that_means_nothing_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_fbsd_head_has_two_layers_and_normalises() -> None:
    kinds = [type(layer) for layer in stage_head(8, 3, fbsd=True)]
    assert kinds == [BatchNorm, nn.Linear, BatchNorm, nn.ELU, nn.Linear]
