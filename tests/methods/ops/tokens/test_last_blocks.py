"""Blocks that a method takes over: the group in which they learn, and a new start against timm's own."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from methods.ops.tokens.last_blocks import start_anew
from tests.helpers.methods_under_test import build


@pytest.mark.parametrize(("name", "blocks"), [("transfg", ["last"]), ("ffvt", ["last"]), ("ielt", ["refine", "key"])])
def test_methods_that_take_over_blocks_train_them_neither_as_backbone_nor_as_new_layers(
    name: str, blocks: list[str]
) -> None:
    method = build(name)
    groups = method.parameter_groups()
    assert list(groups) == ["backbone", "last", "head"]
    taken = [parameter for block in blocks for parameter in getattr(method, block).parameters()]
    assert [id(one) for one in groups["last"]] == [id(one) for one in taken]
    assert [id(one) for one in groups["head"]] == [id(one) for one in method.head.parameters()]


def test_blocks_start_as_timm_starts_them() -> None:
    torch.manual_seed(0)
    trained = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
    fresh = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
    for values in trained.blocks.parameters():
        nn.init.constant_(values, 7.0)
    start_anew(trained.blocks)
    for (name, found), expected in zip(trained.blocks.named_parameters(), fresh.blocks.parameters(), strict=True):
        if expected.std() == 0:
            assert torch.equal(found, expected), name
        else:
            torch.testing.assert_close(found.std(), expected.std(), rtol=0.03, atol=0)
            assert found.mean().abs() < 1e-3, name
            assert found.unique().numel() > 0.9 * expected.unique().numel(), name


def test_scales_of_branches_and_layers_without_a_bias_or_scale_are_left_alone() -> None:
    layers = nn.ModuleDict({"linear": nn.Linear(4, 4, bias=False), "norm": nn.LayerNorm(4, elementwise_affine=False)})
    layers.scale = nn.Parameter(torch.full((4,), 0.3))
    start_anew(layers)
    assert torch.equal(layers.scale, torch.full((4,), 0.3))
