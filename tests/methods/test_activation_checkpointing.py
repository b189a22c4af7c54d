"""Activation checkpointing: less is kept for the backward pass, and nothing else changes, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from methods.backbones import Backbone, BackboneError, TimmBackbones
from methods.interface import Tap
from tests.helpers.small_training import SWIN

DROPPING = {"drop_path_rate": 0.5}
CASES: list[tuple[str, dict[str, Any], list[Tap]]] = [
    ("test_resnet", {}, [16, 32]),
    ("resnet18", DROPPING, ["final"]),
    ("densenet121", {"growth_rate": 4, "block_config": (2, 2, 2, 2), "memory_efficient": False}, [32]),
    ("test_efficientnet", {}, [32]),
    (SWIN["name"], {**SWIN["options"], **DROPPING}, [16, "attention_rollout"]),
]


def backbone(name: str, options: dict[str, Any], taps: list[Tap], checkpointing: bool) -> Backbone:
    torch.manual_seed(0)
    return TimmBackbones(name, 64, options=options, checkpointing=checkpointing).features(taps).train()


def step(net: Backbone) -> tuple[dict[str, Tensor], int]:
    """Maps, gradients and buffers of a step, and the bytes that its forward pass keeps for the backward pass."""
    torch.manual_seed(1)
    images = torch.randn(4, 3, 64, 64)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        maps = net(images)
    torch.stack([one.float().square().mean() for one in maps]).sum().backward()
    found = {f"map {place}": one.detach() for place, one in enumerate(maps)}
    found |= {f"gradient of {name}": one.grad for name, one in net.named_parameters() if one.grad is not None}
    found |= {"draw after it": torch.rand(1), **dict(net.named_buffers())}
    return found, sum(kept.values())


@pytest.mark.parametrize(("name", "options", "taps"), CASES, ids=[case[0] for case in CASES])
def test_less_is_kept_and_maps_gradients_statistics_and_draws_are_the_same(
    name: str, options: dict[str, Any], taps: list[Tap]
) -> None:
    (whole, kept), (again, kept_again) = (step(backbone(name, options, taps, one)) for one in (False, True))
    assert whole.keys() == again.keys()
    assert [key for key in whole if not torch.equal(whole[key], again[key])] == []
    assert kept_again < 0.7 * kept


def test_batch_norm_that_averages_all_batches_counts_each_once() -> None:
    nets = [backbone("test_resnet", {}, ["final"], one) for one in (False, True)]
    for net in nets:
        for norm in net.modules():
            if isinstance(norm, _BatchNorm):
                norm.momentum = None
        step(net)
    whole, again = (dict(net.named_buffers()) for net in nets)
    assert any(name.endswith("num_batches_tracked") for name in whole)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_compiled_code_gives_the_same_as_uncompiled_code() -> None:
    whole, again = (backbone("test_resnet", {}, [32], one) for one in (False, True))
    torch.compiler.reset()
    images = torch.randn(4, 3, 64, 64)
    compiled = torch.compile(again, backend="aot_eager", dynamic=False)
    for net in (whole, compiled):
        (found,) = net(images)
        found.square().mean().backward()
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(again.get_buffer(name), buffer)


@pytest.mark.parametrize("name", ["vgg11", "inception_v3"])
def test_a_network_that_timm_does_not_checkpoint_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match=r"can't checkpoint the activations of \w+; leave checkpointing out"):
        TimmBackbones(name, 80, checkpointing=True).features(["final"])


def test_a_network_cut_at_a_module_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"\['layer3'\] has no blocks"):
        TimmBackbones("test_resnet", 64, checkpointing=True).features(["layer3"])
