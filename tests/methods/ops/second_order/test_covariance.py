"""Covariance pooling against loops over positions, its root against the eigenvalues' roots."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.second_order.covariance import covariance, covariance_root, matrix_root, upper_triangle


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).relu()


def positive(size: int, condition: float) -> Tensor:
    """Two positive definite matrices `(2, size, size)` whose largest eigenvalue is `condition` times the smallest."""
    bases, _ = torch.linalg.qr(torch.randn(2, size, size, generator=torch.Generator().manual_seed(1)).double())
    return bases * torch.linspace(1, condition, size).double() @ bases.transpose(1, 2)


def slow_covariance(x: Tensor) -> Tensor:
    """The sum over positions of the deviations' outer products, over their number."""
    images = []
    for image in x:
        positions = [image[:, row, column] for row in range(image.shape[1]) for column in range(image.shape[2])]
        mean = sum(positions) / len(positions)
        images.append(sum(torch.outer(one - mean, one - mean) for one in positions) / len(positions))
    return torch.stack(images)


def slow_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt()[:, None] @ vectors.transpose(1, 2)


def iterated(values: Tensor, iterations: int) -> Tensor:
    """What the iteration makes of one eigenvalue after the other: commuting matrices iterate like numbers."""
    y, z = values, torch.ones_like(values)
    for _ in range(iterations):
        step = (3 - z * y) / 2
        y, z = y * step, step * z
    return y


def test_the_covariance_is_centred_and_divided_by_the_number_of_positions():
    torch.testing.assert_close(covariance(maps(2, 5, 3, 4)), slow_covariance(maps(2, 5, 3, 4)))


def test_the_covariance_of_half_precision_maps_is_computed_in_float32():
    x = maps(2, 8, 28, 28).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = covariance(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), slow_covariance(x.double()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", ["trace", "frobenius"])
def test_many_iterations_give_the_square_root(scale: str):
    matrix = positive(6, 50)
    torch.testing.assert_close(matrix_root(matrix, 20, scale), slow_root(matrix), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("iterations", [1, 2, 3, 5, 7])
def test_each_eigenvalue_is_iterated_as_often_as_asked(iterations: int):
    matrix = positive(5, 100)
    values, vectors = torch.linalg.eigh(matrix)
    trace = values.sum(1, keepdim=True)
    expected = vectors * iterated(values / trace, iterations)[:, None] @ vectors.transpose(1, 2)
    torch.testing.assert_close(matrix_root(matrix, iterations, compensate=False), expected)
    torch.testing.assert_close(matrix_root(matrix, iterations), expected * trace[:, :, None].sqrt())


@pytest.mark.parametrize("iterations", [1, 2, 5])
@pytest.mark.parametrize("scale", ["trace", "frobenius"])
@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("positions", [(2, 3), (4, 4)])  # fewer than the ten channels, and more
def test_the_covariances_root_is_the_same_in_both_forms(
    positions: tuple[int, int], compensate: bool, scale: str, iterations: int
):
    x = maps(2, 10, *positions).requires_grad_()
    found = covariance_root(x, iterations, scale, compensate)
    expected = matrix_root(covariance(x), iterations, scale, compensate)
    torch.testing.assert_close(found, expected)
    weight = torch.linspace(-1, 1, found.numel()).double().view_as(found)
    ours, theirs = (torch.autograd.grad((one * weight).sum(), x)[0] for one in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_a_matrix_without_full_rank_has_a_finite_root_and_gradient():
    """A map of 5 x 5 cells has 24 dimensions at most, and 256 channels."""
    x = maps(2, 40, 2, 2).float().requires_grad_()
    root = covariance_root(x)
    root.square().sum().backward()
    assert root.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scale", ["trace", "frobenius"])
@pytest.mark.parametrize("side", [1, 3])
def test_a_map_that_is_the_same_everywhere_has_the_root_0_and_a_finite_gradient(side: int, scale: str):
    x = torch.ones(1, 4, side, side, requires_grad=True)
    root = covariance_root(x, scale=scale)
    root.sum().backward()
    assert torch.equal(root, torch.zeros_like(root))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scale", ["trace", "frobenius"])
def test_the_gradient_is_that_of_differences(scale: str):
    for shape in ((2, 3, 2, 3), (2, 5, 2, 2)):
        x = maps(*shape).add(torch.rand(shape, generator=torch.Generator().manual_seed(2))).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: covariance_root(x, 5, scale), (x,))


def test_the_root_stays_float32_under_autocast():
    matrix = positive(16, 1000).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = matrix_root(matrix, 5)
    assert torch.equal(found, matrix_root(matrix, 5))


def test_the_triangle_has_each_pair_of_channels_once_row_after_row():
    matrix = torch.arange(2 * 3 * 3.0).view(2, 3, 3)
    slow = torch.stack([torch.stack([one[i, j] for i in range(3) for j in range(i, 3)]) for one in matrix])
    assert torch.equal(upper_triangle(matrix), slow)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="'rank'; it must be one of trace, frobenius"):
        matrix_root(positive(2, 2), scale="rank")
    with pytest.raises(ValueError, match="iterations are 0"):
        matrix_root(positive(2, 2), 0)


def test_all_of_it_compiles_without_a_graph_break():
    def pooled(x: Tensor) -> Tensor:
        return upper_triangle(covariance_root(x))

    for side in (3, 1, 2):
        x = maps(2, 5, side + 1, side).requires_grad_()
        compiled = torch.compile(pooled, backend="aot_eager", fullgraph=True, dynamic=False)
        torch.testing.assert_close(compiled(x), pooled(x))
        slope = torch.autograd.grad(F.softplus(compiled(x)).sum(), x)
        torch.testing.assert_close(slope, torch.autograd.grad(F.softplus(pooled(x)).sum(), x))
