"""Sums over positions are float32, whatever the maps are, and exact products of bfloat16 maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from methods.ops.second_order.outer_products import sum_over_positions

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def maps(device: str, dtype: torch.dtype = torch.bfloat16, positions: int = 784) -> tuple[Tensor, Tensor]:
    """Rectified maps `(2, 5, positions)` and `(2, 7, positions)`, as networks make them."""
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(2, channels, positions, generator=generator).relu() for channels in (5, 7))
    a, b = (one.to(device, dtype).requires_grad_() for one in drawn)
    return a, b


def slow_sums(a: Tensor, b: Tensor) -> Tensor:
    """One product after the other, in float64."""
    return torch.stack([(one.double() * b.double()).sum(2) for one in a.unsqueeze(2).unbind(1)], dim=1)


@pytest.mark.parametrize("device", DEVICES)
def test_sums_of_bfloat16_maps_are_as_exact_as_those_of_float32_maps(device: str):
    """bfloat16 sums would be 4e-3 off, and so would be those of rounded products."""
    a, b = maps(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        sums = sum_over_positions(a, b)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums.double(), slow_sums(a, b), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_of_bfloat16_maps_are_rounded_like_all_others(device: str):
    a, b = maps(device)
    weight = torch.linspace(-1, 1, 2 * 5 * 7, device=device).view(2, 5, 7)
    exact = torch.autograd.grad((slow_sums(a, b) * weight).sum(), (a, b))
    for ours, slow in zip(torch.autograd.grad((sum_over_positions(a, b) * weight).sum(), (a, b)), exact, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), slow.float(), rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_maps_are_multiplied_as_they_are(dtype: torch.dtype):
    a, b = maps("cpu", dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = sum_over_positions(a, b)
    assert torch.equal(sums, a @ b.transpose(1, 2))


def test_it_compiles_without_a_graph_break():
    a, b = maps("cpu")
    compiled = torch.compile(sum_over_positions, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(a, b), sum_over_positions(a, b))
    (ours,) = torch.autograd.grad(compiled(a, b).sum(), a)
    torch.testing.assert_close(ours, torch.autograd.grad(sum_over_positions(a, b).sum(), a)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_its_flops_are_counted_in_every_precision(dtype: torch.dtype):
    a, b = maps("cpu", dtype)
    with FlopCounterMode(display=False) as flops:
        sum_over_positions(a, b).sum().backward()
    assert flops.get_total_flops() == 3 * 2 * 2 * 5 * 7 * 784


def test_shapes_and_gradients_agree_with_what_the_operator_declares():
    a, b = maps("cpu", positions=6)
    torch.library.opcheck(torch.ops.fgbench.float32_product, (a, b.detach().transpose(1, 2).requires_grad_()))
