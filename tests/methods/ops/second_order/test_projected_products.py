"""Both forms of the sums of projected products give what the formula gives, and so do their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.ops.second_order.outer_products import sum_over_positions
from methods.ops.second_order.projected_products import bilinear_forms, outer_products_pay, sum_of_projected_products

FEW, MANY = 2, 11
"""Positions; there are 5 and 4 channels."""


def inputs(positions: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 5, positions), (3, 4, positions), (6, 5), (6, 4))
    a, b, u, v = (torch.randn(shape, generator=generator).double().requires_grad_() for shape in shapes)
    return a, b, u, v


def slow(a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """One image, row and position after the other."""
    positions = range(a.shape[2])
    rows = [
        [sum((left @ one[:, at]) * (right @ two[:, at]) for at in positions) for left, right in zip(u, v, strict=True)]
        for one, two in zip(a, b, strict=True)
    ]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("positions", [FEW, MANY])
def test_the_form_that_is_chosen_gives_the_formulas_sums_and_gradients(positions: int):
    given = inputs(positions)
    assert outer_products_pay(given[0]) == (positions == MANY)
    found, expected = sum_of_projected_products(*given), slow(*given)
    torch.testing.assert_close(found, expected)
    weight = torch.linspace(-1, 1, found.numel()).double().view_as(found)
    ours, theirs = (torch.autograd.grad((one * weight).sum(), given) for one in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_forms_have_the_gradient_of_differences_also_where_only_some_inputs_learn():
    a, b, u, v = inputs(FEW)
    products = sum_over_positions(a, b).detach().requires_grad_()
    assert torch.autograd.gradcheck(bilinear_forms, (products, u, v))
    assert torch.autograd.gradcheck(lambda one: bilinear_forms(one, u.detach(), v.detach()), (products,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_projected_as_they_are_and_added_up_in_float32(dtype: torch.dtype):
    a, b, u, v = (one.detach() for one in inputs(MANY))
    assert not outer_products_pay(a.to(dtype))
    found = sum_of_projected_products(a.to(dtype), b.to(dtype), u.to(dtype), v.to(dtype))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), slow(a, b, u, v), rtol=0.05, atol=0.3)


def test_forms_stay_float32_under_autocast():
    a, b, u, v = (one.detach().float() for one in inputs(MANY))
    products = sum_over_positions(a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = bilinear_forms(products, u, v)
    assert torch.equal(found, bilinear_forms(products, u, v))


def test_both_forms_compile_without_a_graph_break():
    for positions in (FEW, MANY):
        given = inputs(positions)
        compiled = torch.compile(sum_of_projected_products, backend="aot_eager", fullgraph=True, dynamic=False)
        torch.testing.assert_close(compiled(*given), sum_of_projected_products(*given))
        slope = torch.autograd.grad(compiled(*given).square().sum(), given)
        torch.testing.assert_close(slope, torch.autograd.grad(sum_of_projected_products(*given).square().sum(), given))
