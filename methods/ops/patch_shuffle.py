"""DCL's region confusion: blocks of an image shuffled within a neighbourhood, with the permutation that was applied.

Chen, Bai, Zhang, Mei, "Destruction and Construction Learning for Fine-Grained Image Recognition", CVPR 2019,
Section 3.1. Orders are those of `methods.ops.jigsaw`, one for each image; `permute_blocks` applies them.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The paper's composition σ(i, j) = (σ_j^row(i), σ_i^col(j)), read literally, can send two regions to one place, because
# both permutations are chosen by the original position. Here columns are shuffled after the rows, as they then stand.


def confuse(images: int, n: int, k: float, device: torch.device) -> Tensor:
    """Orders of n × n regions, each shuffled along its row and then along its column: int64 `(images, n·n)`.

    In each row of each image, region i gets q_i = i + r with r ~ U(-k, k), and the regions are sorted by q; then the
    same in each column. So along each side a region moves by less than 2k places. k = 0 leaves all in place.
    """
    from_column = _sorted(images, n, k, device)  # (B, row, place in the row)
    from_row = _sorted(images, n, k, device).mT  # (B, place in the column, column)
    return _compose(from_row, from_column)


def confuse_by_neighbours(images: int, n: int, device: torch.device) -> Tensor:
    """Orders `(images, n·n)` as the authors' code draws them: whole rows move, and nothing moves back by more than one.

    Along each row, from left to right, each region is swapped with its left neighbour with probability ½; then each
    whole row with the row above it, from top to bottom. A region so moves back by one place at most, and forward by m
    with probability 2^-(m+1), the rest at the end.
    """
    from_column = _walk(images, n, n, device)  # (B, row, place in the row)
    from_row = _walk(images, 1, n, device).mT.expand(images, n, n)  # (B, place, all columns alike)
    return _compose(from_row, from_column)


def _compose(from_row: Tensor, from_column: Tensor) -> Tensor:
    """Which region comes to each place: first along rows, then along columns; `(B, n, n)` each -> `(B, n·n)`."""
    n = from_row.shape[1]
    return (from_row * n + from_column.gather(1, from_row)).flatten(1)


def _sorted(images: int, n: int, k: float, device: torch.device) -> Tensor:
    """n shuffles of n regions for each image, `(B, n, n)`: which one comes to each place."""
    noise = torch.rand(images, n, n, device=device) * 2 - 1
    return (torch.arange(n, device=device) + k * noise).argsort(dim=-1)


def _walk(images: int, lines: int, n: int, device: torch.device) -> Tensor:
    """The same from swaps of neighbours, `(B, lines, n)`: each place keeps the carried region, or the next one."""
    swaps = torch.rand(images, lines, n, device=device) < 0.5
    carried = torch.zeros(images, lines, dtype=torch.int64, device=device)
    places = []
    for place in range(1, n):
        swap = swaps[..., place]
        places.append(torch.where(swap, place, carried))
        carried = torch.where(swap, carried, place)
    return torch.stack([*places, carried], dim=-1)
