"""Choosing tokens of a vision transformer: by the attention of its class token, or at random; and showing the choice.

Tokens are numbered as `methods.interface.Tokens` has them, the class token 0. No gradient flows through a choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32

FADED = 0.15
"""Share of its contrast that what is not chosen keeps in `marked`."""


@torch.no_grad()
def class_rollout(queries: Sequence[Tensor], keys: Sequence[Tensor], residual: bool = False) -> Tensor:
    """What the class token receives from each token through several blocks, head by head: `(B, heads, N)`.

    It is row 0 of A_L · … · A_1, where A_l = softmax(Q_l · K_lᵀ) and Q_l, K_l are the `(B, heads, N, d)` of block l,
    the earliest first: TransFG's product (He et al., AAAI 2022). With `residual` each A_l is (A_l + 1) / 2: the
    attention rollout of Abnar and Zuidema (ACL 2020), which they take of the mean of all heads.

    Only that row is carried, from the last block to the first. So one map `(B, heads, N, N)` is in memory at a time,
    none is multiplied by another, and of the last block one row is enough. At least float32.
    """
    if not queries:
        raise ValueError("a rollout needs the queries and keys of one block or more")
    row = _attention(queries[-1][:, :, :1], keys[-1])
    if residual:
        itself = torch.zeros_like(row).index_fill(-1, torch.zeros(1, dtype=torch.long, device=row.device), 1.0)
        row = (row + itself) / 2
    for query, key in zip(reversed(queries[:-1]), reversed(keys[:-1]), strict=True):
        attention = _attention(query, key)
        with torch.autocast(row.device.type, enabled=False):
            row = (row @ attention + row) / 2 if residual else row @ attention
    return row.squeeze(2)


@torch.no_grad()
def mutual_attention(query: Tensor, key: Tensor) -> Tensor:
    """How strongly the class token and each token of a block attend to each other, from its queries and keys
    `(B, heads, N, d)`: `(B, N)`.

    A token's score is the class token's attention to it, times its share among all that attend to the class token (a
    softmax over the queries); each a mean over heads. This is MAWS (Wang et al., BMVC 2021), from a row and a column of
    scores in place of all N². At least float32.
    """
    asks = _attention(query[:, :, :1], key)
    asked = _scores(query, key[:, :, :1]).softmax(dim=-2)
    return asks.mean(dim=(1, 2)) * asked.mean(dim=(1, 3))


def _attention(query: Tensor, key: Tensor) -> Tensor:
    """`(B, heads, n, d)` and `(B, heads, N, d)` -> `(B, heads, n, N)`."""
    return _scores(query, key).softmax(dim=-1)


def _scores(query: Tensor, key: Tensor) -> Tensor:
    """Not rounded to half precision: of two tokens that are nearly alike the rounding would choose."""
    with torch.autocast(query.device.type, enabled=False):
        return at_least_float32(query) @ at_least_float32(key).mT


@torch.no_grad()
def drawn(images: Tensor, count: int, total: int) -> Tensor:
    """Numbers below `total`, drawn at random for each image: `(B, 3, H, W)` -> int64 `(B, count)`.

    All numbers are equally likely, and some may come twice. The draw depends on the image's pixels alone, so an image
    has the same one in every batch and every evaluation, and each augmented view has another, but for mirror images:
    the seed is a sum over all pixels, wherever they are.
    """
    bits = images.to(torch.float32).contiguous().view(torch.int32)
    seed = bits.flatten(1).sum(dim=1, dtype=torch.int64)[:, None]  # of whole numbers, so the order doesn't matter
    return _scrambled(_scrambled(seed) + torch.arange(count, device=images.device)) % total


def _scrambled(numbers: Tensor) -> Tensor:
    """Numbers below 2³¹ that look random, as a hash function makes them: int64 of any shape."""
    mask, factor = 2**31 - 1, 0x45D9F3B  # the factor of a common integer hash; products stay below 2⁶³
    numbers = numbers & mask
    for _ in range(2):
        numbers = ((numbers ^ (numbers >> 16)) * factor) & mask
    return numbers ^ (numbers >> 16)


def taken(tokens: Tensor, chosen: Tensor) -> Tensor:
    """Tokens `(B, N, C)` by their numbers `(B, n)`, each image its own: `(B, n, C)`."""
    return tokens.gather(1, chosen[:, :, None].expand(-1, -1, tokens.shape[2]))


def marked(images: Tensor, chosen: Tensor, grid: tuple[int, int]) -> Tensor:
    """The images `(B, 3, H, W)` with the chosen patches as they are, and the rest at `FADED` of its contrast.

    `chosen` are numbers `(B, n)` of patches, row by row in a grid of so many rows and columns. Where patches overlap,
    each is shown as its cell, an equal share of the image.
    """
    rows, columns = grid
    kept = torch.full((len(images), rows * columns), FADED, device=images.device, dtype=images.dtype)
    cells = kept.scatter(1, chosen, 1.0).view(-1, 1, rows, columns)
    # A pixel belongs to one patch, also where the image's size is no multiple of the grid's.
    return images * F.interpolate(cells, size=images.shape[2:], mode="nearest-exact")
