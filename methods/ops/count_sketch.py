"""Tensor Sketch: bilinear pooling in few dimensions.

Gao, Beijbom, Zhang, Darrell, "Compact Bilinear Pooling", CVPR 2016 (arXiv 1511.06062), Algorithm 2, after Pham, Pagh,
"Fast and scalable polynomial kernels via explicit feature maps", KDD 2013.

The paper convolves two count sketches of each position's feature by FFT and adds the results up. Entry i of the first
and entry j of the second meet in place h₁(i) + h₂(j), so the sum is a count sketch of the outer products' sum too. That
needs one matrix product and C² additions for an image, and no complex numbers; of bfloat16 maps no product is rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.ops.outer_products import sum_over_positions


class TensorSketch(nn.Module):
    """φ with E⟨φ(x), φ(y)⟩ = ⟨x, y⟩² over the draws of its hashes h `(2, C)` in 0 .. d-1 and its signs s `(2, C)`.

    Both are drawn from `seed` alone, whatever the Run's seed is. `learn`: the signs are parameters that start there.
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
