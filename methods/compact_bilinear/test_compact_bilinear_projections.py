"""The projections against loops, against the paper's FFT, and against the kernel that they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.bilinear_cnn.model import bilinear_pool
from methods.compact_bilinear.projections import RandomMaclaurin, TensorSketch


def maps(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def count_sketch(x: Tensor, hashes: Tensor, signs: Tensor, dimension: int) -> Tensor:
    sketch = torch.zeros(dimension, dtype=torch.float64)
    for value, place, sign in zip(x, hashes, signs, strict=True):
        sketch[place] += sign * value
    return sketch


def slow(sketch: TensorSketch, x: Tensor) -> Tensor:
    """Position by position: two count sketches, convolved in a circle."""
    images = []
    for image in x.flatten(2):
        total = torch.zeros(sketch.dimension, dtype=torch.float64)
        for position in image.unbind(1):
            first, second = (
                count_sketch(position, hashes, signs, sketch.dimension)
                for hashes, signs in zip(sketch.hashes, sketch.signs, strict=True)
            )
            for i in range(sketch.dimension):
                for j in range(sketch.dimension):
                    total[(i + j) % sketch.dimension] += first[i] * second[j]
        images.append(total)
    return torch.stack(images)


def by_fft(sketch: TensorSketch, x: Tensor) -> Tensor:
    """The paper's way (Algorithm 2)."""
    spectra = []
    for hashes, signs in zip(sketch.hashes, sketch.signs, strict=True):
        matrix = torch.zeros(x.shape[1], sketch.dimension, dtype=torch.float64)
        matrix[torch.arange(x.shape[1]), hashes] = signs.double()
        spectra.append(torch.fft.fft(x.flatten(2).transpose(1, 2) @ matrix))
    return torch.fft.ifft(spectra[0] * spectra[1]).real.sum(1)


@pytest.mark.parametrize("dimension", [1, 7, 16])
def test_a_sketch_is_the_sum_of_the_positions_convolved_sketches(dimension: int):
    sketch, x = TensorSketch(5, dimension, seed=3).double(), maps(2, 5, 2, 3)
    torch.testing.assert_close(sketch(x), slow(sketch, x))


def test_a_sketch_is_what_the_fft_gives_at_the_papers_size():
    sketch, x = TensorSketch(64, 8192, seed=1).double(), maps(2, 64, 4, 4)
    torch.testing.assert_close(sketch(x), by_fft(sketch, x))


def test_products_of_sketches_are_the_squared_products_of_features_on_average():
    """E⟨φ(x), φ(y)⟩ = ⟨x, y⟩²: the mean over 4 000 draws is within 4 of its standard errors."""
    x, y = maps(2, 6, 1, 1).split(1)
    draws = [TensorSketch(6, 32, seed).double() for seed in range(4000)]
    products = torch.stack([(sketch(x) * sketch(y)).sum() for sketch in draws])
    error = products.std() / len(products) ** 0.5
    kernel = (x * y).sum().square()
    assert (products.mean() - kernel).abs() < 4 * error
    assert error < 0.1 * kernel  # else the test could not fail


def test_the_same_seed_draws_the_same_sketch_whatever_the_runs_seed_is():
    torch.manual_seed(0)
    first = TensorSketch(9, 50, seed=1)
    torch.manual_seed(1)
    again, other = TensorSketch(9, 50, seed=1), TensorSketch(9, 50, seed=2)
    assert torch.equal(first.hashes, again.hashes)
    assert torch.equal(first.signs, again.signs)
    assert not torch.equal(first.hashes, other.hashes)
    assert set(first.state_dict()) == {"hashes", "signs"}


def test_a_sketchs_signs_can_learn():
    fixed, learning = TensorSketch(5, 8, seed=1), TensorSketch(5, 8, seed=1, learn=True)
    assert not list(fixed.parameters())
    assert [name for name, _ in learning.named_parameters()] == ["signs"]
    learning(maps(2, 5, 2, 2).float()).square().sum().backward()
    assert learning.signs.grad.abs().sum() > 0


def test_a_sketchs_gradient_is_that_of_differences():
    sketch, x = TensorSketch(4, 6, seed=0).double(), maps(2, 4, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(sketch, (x,))


def test_half_precision_maps_are_sketched_in_float32():
    sketch, x = TensorSketch(8, 16, seed=0), maps(2, 8, 14, 14).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sketch(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), by_fft(sketch, x.double()), rtol=1e-5, atol=1e-4)


def test_a_sketch_compiles_without_a_graph_break():
    sketch, x = TensorSketch(4, 6, seed=0).double(), maps(2, 4, 3, 3).requires_grad_()
    compiled = torch.compile(sketch, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(x), sketch(x))
    slope = torch.autograd.grad(compiled(x).square().sum(), x)
    torch.testing.assert_close(slope, torch.autograd.grad(sketch(x).square().sum(), x))


@pytest.mark.parametrize("positions", [(1, 2), (3, 4)])  # fewer than channels, and more
def test_random_maclaurin_is_the_sum_of_the_positions_projected_products(positions: tuple[int, int]):
    project, x = RandomMaclaurin(5, 7, seed=3).double(), maps(2, 5, *positions)
    first, second = project.weights
    slow = torch.stack([sum((first @ at) * (second @ at) for at in one.flatten(1).unbind(1)) / 7**0.5 for one in x])
    torch.testing.assert_close(project(x), slow)


def test_random_maclaurins_products_are_the_squared_products_of_features_on_average():
    """E⟨φ(x), φ(y)⟩ = ⟨x, y⟩²: the mean over 2 000 draws is within 4 of its standard errors."""
    x, y = maps(2, 6, 1, 1).split(1)
    draws = [RandomMaclaurin(6, 32, seed).double() for seed in range(2000)]
    products = torch.stack([(project(x) * project(y)).sum() for project in draws])
    error = products.std() / len(products) ** 0.5
    kernel = (x * y).sum().square()
    assert (products.mean() - kernel).abs() < 4 * error
    assert error < 0.2 * kernel  # else the test could not fail


@pytest.mark.parametrize("kind", [TensorSketch, RandomMaclaurin])
def test_descriptors_of_many_dimensions_compare_images_as_bilinear_descriptors_do(kind: Any):
    """What the paper is about: products of the pooled vectors stand for those of the full outer products."""
    x = maps(4, 8, 3, 3).relu()
    full, compact = bilinear_pool(x, x) * 9, kind(8, 65536, seed=1).double()(x)
    torch.testing.assert_close(compact @ compact.T, full @ full.T, rtol=0.05, atol=0)
