"""Random maps φ of a feature x to few dimensions, summed over positions: E⟨φ(x), φ(y)⟩ = ⟨x, y⟩² for any x and y.

Gao, Beijbom, Zhang, Darrell, "Compact Bilinear Pooling", CVPR 2016 (arXiv 1511.06062), Algorithms 1 and 2; the latter
after Pham, Pagh, "Fast and scalable polynomial kernels via explicit feature maps", KDD 2013.

E is the mean over draws. A draw comes from a seed of its own, whatever the Run's seed is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from methods.ops.second_order.outer_products import sum_over_positions
from methods.ops.second_order.projected_products import sum_of_projected_products


class TensorSketch(nn.Module):
    """Two count sketches of x, convolved in a circle: hashes h `(2, C)` in 0 .. d-1, signs s `(2, C)` (Algorithm 2).

    The paper convolves those of each position by FFT and adds the results up. Entry i of the first and entry j of the
    second meet in place h₁(i) + h₂(j), so the sum is a count sketch of the outer products' sum too. That needs one
    matrix product and C² additions for an image, and no complex numbers; of bfloat16 maps no product is rounded.

    `learn`: the signs are parameters that start from the draw.
    """

    hashes: Tensor
    signs: Tensor

    def __init__(self, channels: int, dimension: int, seed: int, learn: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.dimension = dimension
        self.register_buffer("hashes", torch.randint(dimension, (2, channels), generator=generator))
        signs = torch.randint(2, (2, channels), generator=generator) * 2.0 - 1
        if learn:
            self.signs = nn.Parameter(signs)
        else:
            self.register_buffer("signs", signs)

    def forward(self, maps: Tensor) -> Tensor:
        """The sum over positions of φ(x): `(B, C, h, w)` -> `(B, d)`, at least in float32."""
        x = maps.flatten(2)
        products = sum_over_positions(x, x) * (self.signs[0, :, None] * self.signs[1])
        places = (self.hashes[0, :, None] + self.hashes[1]) % self.dimension
        sketch = products.new_zeros(len(x), self.dimension)
        return sketch.index_add(1, places.flatten(), products.flatten(1))


class RandomMaclaurin(nn.Module):
    """φ(x) = (W₁x ∘ W₂x) / √d with W of ±1, `(2, d, C)` (Algorithm 1). `learn`: W is a parameter that starts from the
    draw."""

    weights: Tensor

    def __init__(self, channels: int, dimension: int, seed: int, learn: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randint(2, (2, dimension, channels), generator=generator) * 2.0 - 1
        if learn:
            self.weights = nn.Parameter(weights)
        else:
            self.register_buffer("weights", weights)

    def forward(self, maps: Tensor) -> Tensor:
        """The sum over positions of φ(x): `(B, C, h, w)` -> `(B, d)`, at least in float32."""
        x = maps.flatten(2)
        return sum_of_projected_products(x, x, *self.weights) / self.weights.shape[1] ** 0.5


PROJECTIONS: dict[str, Callable[[int, int, int, bool], nn.Module]] = {
    "tensor_sketch": TensorSketch,
    "random_maclaurin": RandomMaclaurin,
}
